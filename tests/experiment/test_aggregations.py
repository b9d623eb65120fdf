"""Any strategy through any aggregation: from Python what it is from TOML."""

import jax
import numpy as np
import pytest

from fedket.errors import ConfigError, UserCodeError
from fedket.experiment.aggregation import cost_of, first_context
from fedket.experiment.build import build_experiment, build_learning
from fedket.experiment.load import parse_config
from fedket.federated.federation import make_federation
from fedket.federated.trainer import contribution_shape
from fedket.keys import OsRandomSource
from fedket.kinds import BUILT_IN
from fedket.secure import (
    hierarchical_protocol,
    masked_sum,
    pairwise_protocol,
    quantised_sum,
    reduce_in_process,
    shared_mask_sum,
)
from fedket.secure.robust.groups import Grouped, grouped_sum
from fedket.secure.robust.kinds import (
    CentredClippingConfig,
    GeometricMedianConfig,
    KrumConfig,
    MedianConfig,
    MultiKrumConfig,
    NormBoundConfig,
    TrimmedMeanConfig,
)
from fedket.secure.robust.reducer import robust_sum
from fedket.secure.sides import count_values
from tests.experiment.tiny import config_of, values_of, write_blobs

FROM_PYTHON = {
    "plain": lambda: None,
    "quantised": lambda: quantised_sum(16, "headroom", 1.0),
    "pairwise_masks": lambda: masked_sum(16, "headroom", 1.0, OsRandomSource()),
    "shared_masks": lambda: shared_mask_sum(16, 1.0, OsRandomSource(), colluders=1, threshold=3),
    "median": lambda: robust_sum(MedianConfig().rule()),
    "trimmed_mean": lambda: robust_sum(TrimmedMeanConfig(f=1).rule()),
    "krum": lambda: robust_sum(KrumConfig(f=1).rule()),
    "multi_krum": lambda: robust_sum(MultiKrumConfig(f=1).rule()),
    "geometric_median": lambda: robust_sum(GeometricMedianConfig().rule()),
    "centred_clipping": lambda: robust_sum(CentredClippingConfig(tau=1.0).rule()),
    "norm_bound": lambda: robust_sum(NormBoundConfig(c=1.0).rule()),
    "grouped": lambda: in_pairs(OsRandomSource()),
    "hierarchical": lambda: reduce_in_process(hierarchical_protocol(16, 1.0), OsRandomSource()),
}
GROUPS = ["aggregation.group_size=2", "partition.num_clients=6"]
MIXED = {"qfedfisher", "scaffold", "fed_dyn", "fed_nova"}
"""Strategies that contribute numbers of other kinds beside an update."""
OF_DISTANCES = {"krum", "multi_krum", "geometric_median", "centred_clipping", "norm_bound"}


def in_pairs(keys):
    protocol = pairwise_protocol(16, 1.0)
    grouped = Grouped(protocol, MedianConfig().rule(), 2)
    return grouped_sum(grouped, lambda _: reduce_in_process(protocol, keys))


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    return write_blobs(tmp_path_factory.mktemp("data") / "blobs.npz")


PAIRS = [
    pytest.param(aggregation, strategy, marks=[] if quick else pytest.mark.long)
    for aggregation in BUILT_IN["aggregation"]
    for strategy in BUILT_IN["strategy"]
    for quick in [aggregation == "pairwise_masks" or strategy in ("fed_avg", "qfedfisher")]
]
"""Every round of another pair is a program of its own: most of them are for `make test-long`."""


@pytest.mark.parametrize(("aggregation", "strategy"), PAIRS)
def test_from_python_what_it_is_from_toml_and_at_the_cost_that_was_told(
    aggregation, strategy, blobs
):
    more = GROUPS if aggregation == "grouped" else []
    kinds = f"strategy.kind={strategy}", f"aggregation.kind={aggregation}"
    config = config_of(blobs, *kinds, *more)
    if strategy in MIXED and aggregation in OF_DISTANCES:
        with pytest.raises(ConfigError, match="contributes numbers of other kinds"):
            build_experiment(config)
        return
    built = build_experiment(config)
    context = first_context(config)._replace(dataset=built.dataset)
    model, training, _ = build_learning(config, context, config.training.batch_size)
    federation = make_federation(
        model,
        built.dataset,
        built.partition,
        built.strategy,
        training,
        reducer=FROM_PYTHON[aggregation](),
    )
    ours, record = federation.run_round(federation.init(), False)
    theirs, _ = built.federation.run_round(built.federation.init(), False)
    jax.tree.map(np.testing.assert_array_equal, ours.params, theirs.params)
    one = contribution_shape(built.strategy, ours.params)
    cost = cost_of(config, count_values(one))
    if cost is not None:
        assert record.key_bits == 8 * sum(cost.key.values())
        assert record.upload_bytes == cost.upload_bytes
    assert record.clipped == 0


MINE = """
import jax
from fedket import Section, Traffic


class Median(Section):
    def build(self, context):
        def reduce(contributions, context):
            middle = jax.tree.map(lambda leaf: jax.numpy.median(leaf, axis=0), contributions)
            return middle, Traffic(0, 0)

        return reduce


class Wrong(Section):
    def build(self, context):
        return 3
"""


def test_a_users_own_sees_single_contributions(blobs, tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    values = values_of(blobs, "aggregation={kind='mine.py:Median'}")
    built = build_experiment(parse_config(values, folder=tmp_path))
    state, _ = built.federation.run_round(built.federation.init())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    values = values_of(blobs, "aggregation={kind='mine.py:Wrong'}")
    with pytest.raises(UserCodeError, match="returned a int; it should return"):
        build_experiment(parse_config(values, folder=tmp_path))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kind='masked'", 'aggregation.kind = "pairwise_masks"'),
        ("kind='quantised', word='safe'", "aggregation.modulus"),
        ("kind='pairwise_masks', mac=false", "aggregation.authenticate"),
        ("kind='pairwise_masks', bad_fraction=0.1", "aggregation.corrupt_fraction"),
        ("kind='shared_masks', dropout=0.1", "conditions.dropout"),
    ],
)
def test_old_names_are_refused_with_the_new_ones(old, new, blobs):
    with pytest.raises(ConfigError, match=f"is now `{new}`"):
        parse_config(values_of(blobs, f"aggregation={{{old}}}"))
