"""Client drift is measured from the updates themselves, by any engine, and changes nothing."""

import jax
import numpy as np
import optax
import pytest

from fedket.errors import ConfigError
from fedket.federated.drift import measure_drift
from fedket.federated.federation import make_federation
from fedket.federated.local import LocalTraining
from fedket.federated.sequential import sequential_engine
from fedket.federated.strategies import fed_avg
from fedket.federated.trainer import Engine
from fedket.federated.vectorised import vectorised_engine
from fedket.models.classical import mlp
from tests.federated.problems import SIZES, blobs, run_rounds, small_federation

ENGINES = {"vectorised": vectorised_engine, "sequential": sequential_engine}


def test_it_is_norm_and_cosine_with_the_weighted_mean():
    rng = np.random.default_rng(0)
    updates = {"a": rng.normal(size=(4, 2, 3)), "b": rng.normal(size=(4, 5))}
    updates["b"][3] = np.nan
    weights, finite = np.array([0.5, 0.5, 0.0, 0.7]), np.array([True, True, True, False])
    found = measure_drift(updates, weights, finite)
    rows = np.concatenate([updates["a"].reshape(4, -1), updates["b"]], axis=1)[:2]
    mean = rows.mean(axis=0)
    norms = np.linalg.norm(rows, axis=1)
    np.testing.assert_allclose(found.norm, [*norms, 0, 0], rtol=1e-6)
    expected = rows @ mean / norms / np.linalg.norm(mean)
    np.testing.assert_allclose(found.cosine[:2], expected, rtol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_records_it_and_trains_the_same(engine):
    options = {"engine": ENGINES[engine], "poisoned": (2,)}
    state, (record,) = run_rounds(small_federation(drift=True, **options), 1)
    bare, (without,) = run_rounds(small_federation(**options), 1)
    jax.tree.map(np.testing.assert_array_equal, state.params, bare.params)
    assert without.drift == {}
    assert list(record.drift) == [0, 1, 3, 4], "client 2 delivered nothing finite"
    # The mean of the updates is the step of the server: its norm is the weighted mean of n·cos.
    sizes = {client: SIZES[client] for client in record.drift}
    total = sum(sizes.values())
    along = sum(sizes[c] / total * d.norm * d.cosine for c, d in record.drift.items())
    start = small_federation(**options).init().params
    step = jax.tree.map(lambda a, b: np.sum((np.asarray(a) - b) ** 2), state.params, start)
    assert along == pytest.approx(np.sqrt(sum(jax.tree.leaves(step))), rel=1e-4)


def test_sites_keep_their_updates_to_themselves():
    dataset, partition = blobs()
    sites = Engine(lambda *_: None)
    with pytest.raises(ConfigError, match="sites keep to themselves"):
        make_federation(
            mlp(4, 2),
            dataset,
            partition,
            fed_avg(),
            LocalTraining(optax.sgd(0.1)),
            engine=sites,
            drift=True,
        )
