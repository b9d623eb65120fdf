"""QFedFisher: its equation, its ablations, and that only sums are needed, masked ones too."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import ConfigError
from fedket.federated.fisher import FisherSettings
from fedket.federated.local import LocalTraining
from fedket.federated.qfedfisher import qfedfisher
from fedket.federated.sequential import sequential_engine
from fedket.federated.strategies import fed_avg
from fedket.keys import OsRandomSource
from fedket.secure import masked_sum, quantised_sum
from fedket.secure.encoding import make_encoding
from fedket.secure.quantise import headroom
from fedket.types import Bound, ClientResult, RoundContext
from tests.federated.problems import small_federation

SEEDS = st.integers(0, 2**31 - 1)
CLIP = 1.0


def run_rounds(federation, num_rounds):
    """State and records after some rounds, none evaluated: that would compile twice as much."""
    state, records = federation.init(), []
    for _ in range(num_rounds):
        state, record = federation.run_round(state, False)
        records.append(record)
    return state, records


def clients(seed, num_clients=3):
    """Global parameters, and clients' parameters, Fisher information and weights."""
    rng = np.random.default_rng(seed)
    params = rng.normal(size=(4, 5)).astype(np.float32)
    trained = (params + 0.1 * rng.normal(size=(num_clients, 4, 5))).astype(np.float32)
    fisher = (rng.random((num_clients, 4, 5)) ** 4).astype(np.float32)
    fisher[:, 0] = 0
    weights = rng.dirichlet(np.ones(num_clients)).astype(np.float32)
    return tuple(map(jnp.asarray, (params, trained, fisher, weights)))


def step(strategy, params, trained, fisher, weights):
    contributions = [
        strategy.contribute(params, ClientResult(*result))
        for result in zip(trained, map(jnp.asarray, weights), fisher, strict=True)
    ]
    total = jax.tree.map(lambda *leaves: sum(leaves), *contributions)
    return strategy.apply(strategy.init(params), params, total)[1], strategy.metrics(total)


@given(seed=SEEDS)
def test_parameters_are_weighted_by_information_and_averaged_where_there_is_little(seed):
    """arXiv:2507.17580 written out on the models themselves, in numpy."""
    params, trained, fisher, weights = clients(seed)
    found, metrics = step(qfedfisher(0.3), params, trained, fisher, weights)
    total = fisher.sum(0)
    low = total < 0.3
    by_fisher = (fisher * trained).sum(0) / np.where(low, 1, total)
    expected = np.where(low, np.tensordot(weights, trained, axes=1), by_fisher)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(metrics["threshold_fraction"], low.mean(), rtol=1e-6)


@given(seed=SEEDS)
def test_ablations_keep_one_half_of_the_rule(seed):
    params, trained, fisher, weights = clients(seed)
    mean = np.tensordot(weights, trained, axes=1)
    fisher_only, _ = step(qfedfisher(0.3, "fisher_only"), params, trained, fisher, weights)
    seen = fisher.sum(0) > 1e-6
    expected = np.where(seen, (fisher * trained).sum(0) / np.where(seen, fisher.sum(0), 1), mean)
    np.testing.assert_allclose(fisher_only, expected, atol=2e-5)
    threshold_only, _ = step(qfedfisher(0.3, "threshold_only"), params, trained, fisher, weights)
    expected = np.where(fisher.sum(0) < 0.3, params, mean)
    np.testing.assert_allclose(threshold_only, expected, atol=1e-5)


def test_a_threshold_that_nothing_reaches_is_fed_avg():
    """Information in [0, 1] of 5 clients never sums to 6."""
    ours, records = run_rounds(small_federation(strategy=qfedfisher(6.0)), 2)
    plain, _ = run_rounds(small_federation(strategy=fed_avg()), 2)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), ours.params, plain.params)
    assert [record.metrics for record in records] == [{"threshold_fraction": 1.0}] * 2


def test_both_engines_agree():
    strategy = qfedfisher(0.05, fisher=FisherSettings(num_samples=10, batch_size=4))
    fast, fast_records = run_rounds(small_federation(strategy=strategy, clients_per_round=3), 2)
    slow, slow_records = run_rounds(
        small_federation(strategy=strategy, clients_per_round=3, engine=sequential_engine), 2
    )
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4), fast.params, slow.params)
    for a, b in zip(fast_records, slow_records, strict=True):
        np.testing.assert_allclose(a.metrics["threshold_fraction"], b.metrics["threshold_fraction"])
        assert 0 < a.metrics["threshold_fraction"] < 1


def test_masks_change_nothing_and_32_bits_next_to_nothing():
    strategy = qfedfisher(0.05)
    quantised, masked = (
        run_rounds(small_federation(strategy=strategy, reducer=reducer), 2)
        for reducer in (
            quantised_sum(32, "headroom", CLIP),
            masked_sum(32, "headroom", CLIP, OsRandomSource()),
        )
    )
    jax.tree.map(np.testing.assert_array_equal, masked[0], quantised[0])
    assert [r.metrics for r in masked[1]] == [r.metrics for r in quantised[1]]
    plain, _ = run_rounds(small_federation(strategy=strategy), 2)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4), quantised[0], plain)


def test_a_client_with_nan_is_left_out():
    training = LocalTraining(optax.adam(0.05), batch_size=8)
    federation = small_federation(poisoned=(1,), strategy=qfedfisher(), training=training)
    state, (record,) = run_rounds(federation, 1)
    assert list(record.dropped) == [1]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


def test_information_without_a_bound_is_not_quantised():
    strategy = qfedfisher(fisher=FisherSettings(normalisation="none"))
    with pytest.raises(ConfigError, match='"none" leaves Fisher information without a bound'):
        strategy.bounds(CLIP)


@given(seed=SEEDS)
def test_values_within_their_bounds_survive_quantising(seed):
    """Leaves of very different range, weights far from equal: nothing clips, all errors are small.

    The error of a sum of K values is below K steps, each K·limit/(2^15 − 1 − K) at most.
    """
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(4, 0.5)).astype(np.float32) * np.float32(0.9) + 0.025
    bounds = {"big": Bound(50.0, weighted=False), "small": Bound(0.01)}
    contributions = {
        "big": rng.uniform(-50, 50, (4, 6)).astype(np.float32),
        "small": rng.uniform(-0.01, 0.01, (4, 3)).astype(np.float32) * weights[:, None],
    }
    reduce = quantised_sum(16, "headroom", 0.25)
    context = RoundContext(0, 1, (0, 1, 2, 3), tuple(weights.tolist()), lambda _: bounds)
    total, traffic = reduce(contributions, context)
    assert traffic.num_clipped == 0
    for name, limit in (("big", 50.0), ("small", 0.01)):
        step = 4 * limit / (2**15 - 5)
        np.testing.assert_allclose(total[name], contributions[name].sum(0), atol=4.01 * step)


def test_the_usual_bound_leaves_values_as_they_are():
    context = RoundContext(0, 1, (0, 1), (0.25, 0.75), fed_avg().bounds)
    encoding = make_encoding(partial(headroom, 16, 0.5), 0.5, context)
    assert encoding.factors is None
    assert encoding.shares == [0.25, 0.75]
