"""A round that sends a part of the coordinates, under any strategy and aggregation."""

import jax
import numpy as np
import pytest

from fedket.errors import ConfigError
from fedket.experiment.build import build_experiment
from fedket.experiment.facts import count_facts
from fedket.kinds import BUILT_IN
from fedket.secure import kept_values
from tests.experiment.tiny import config_of, write_blobs

QUARTER = "federation.sparsify=0.25"


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    return write_blobs(tmp_path_factory.mktemp("data") / "blobs.npz")


@pytest.mark.parametrize("strategy", BUILT_IN["strategy"])
def test_what_is_not_sent_keeps_its_value(strategy, blobs):
    built = build_experiment(config_of(blobs, QUARTER, f"strategy.kind={strategy}"))
    before = built.federation.init()
    after, _ = built.federation.run_round(before, False)
    moved = 0
    for old, new in zip(jax.tree.leaves(before.params), jax.tree.leaves(after.params), strict=True):
        changed = np.count_nonzero(np.asarray(old) != np.asarray(new))
        assert np.isfinite(new).all()
        assert changed <= kept_values(old.size, 0.25)
        moved += changed
    assert moved


@pytest.mark.parametrize("aggregation", ["plain", "quantised", "pairwise_masks", "shared_masks"])
def test_bytes_and_key_are_those_that_were_told(aggregation, blobs):
    facts, rounds = [], []
    for sparse in ([], [QUARTER]):
        built = build_experiment(config_of(blobs, f"aggregation.kind={aggregation}", *sparse))
        facts.append(count_facts(built))
        rounds.append(built.federation.run_round(built.federation.init(), False)[1])
    whole, part = facts
    assert part.upload_bytes_per_client == round(whole.upload_bytes_per_client * 4 / 15)
    assert part.key_bits_per_round == rounds[1].key_bits
    assert rounds[1].upload_bytes < rounds[0].upload_bytes
    assert rounds[1].key_bits <= rounds[0].key_bits


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("graph={kind='ring'}", r"\[graph\] averages whole models"),
        ("privacy={kind='gaussian', noise_multiplier=1.0, clip=1.0}", r"the noise of \[privacy\]"),
        ("keys={kind='simulated', starvation=['lower_bits']}", "keys.starvation decides"),
    ],
)
def test_what_sums_whole_updates_is_refused(other, message, blobs):
    masked = "aggregation.kind=pairwise_masks"
    with pytest.raises(ConfigError, match=f"federation.sparsify: {message}"):
        build_experiment(config_of(blobs, QUARTER, masked, other))
