"""One contract for every strategy: only the sum matters; then each one's own equation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import ConfigError
from fedket.federated.cohort import sample_cohort
from fedket.federated.ditto import ditto
from fedket.federated.fed_dyn import fed_dyn
from fedket.federated.fed_nova import fed_nova
from fedket.federated.qfedfisher import qfedfisher
from fedket.federated.scaffold import scaffold
from fedket.federated.strategies import (
    fed_adagrad,
    fed_adam,
    fed_avg,
    fed_avg_m,
    fed_prox,
    fed_yogi,
)
from fedket.kinds import BUILT_IN
from fedket.types import ClientResult

STRATEGIES = {
    "fed_avg": fed_avg(),
    "fed_avg_m": fed_avg_m(0.5, 0.8),
    "fed_prox": fed_prox(0.1),
    "fed_adagrad": fed_adagrad(0.1, 0.5),
    "fed_adam": fed_adam(0.1),
    "fed_yogi": fed_yogi(0.1),
    "scaffold": scaffold(5),
    "fed_nova": fed_nova(0.5, 8),
    "ditto": ditto(0.1),
    "fed_dyn": fed_dyn(5, 0.1),
    "qfedfisher": qfedfisher(0.1),
}
SEEDS = st.integers(0, 2**31 - 1)


def test_every_built_in_strategy_is_under_contract():
    assert set(BUILT_IN["strategy"]) <= set(STRATEGIES)


def random_tree(rng):
    return {
        "a": jnp.asarray(rng.normal(size=(3, 2)), jnp.float32),
        "b": jnp.asarray(rng.normal(size=4), jnp.float32),
    }


def random_result(rng, weight):
    measured, steps = jax.tree.map(jnp.abs, random_tree(rng)), jnp.float32(rng.integers(1, 9))
    trained, gradient, memory = (random_tree(rng) for _ in range(3))
    return ClientResult(trained, jnp.float32(weight), measured, steps, gradient, memory)


def total_of(strategy, params, results):
    contributions = [strategy.contribute(params, result) for result in results]
    return jax.tree.map(lambda *leaves: sum(leaves), *contributions)


@pytest.mark.parametrize("name", STRATEGIES)
@given(seed=SEEDS)
def test_the_order_of_clients_does_not_matter(name, seed):
    strategy, rng = STRATEGIES[name], np.random.default_rng(seed)
    params = random_tree(rng)
    weights = rng.dirichlet(np.ones(4))
    results = [random_result(rng, w) for w in weights]
    state = strategy.init(params)
    ahead = strategy.apply(state, params, total_of(strategy, params, results))
    back = strategy.apply(state, params, total_of(strategy, params, results[::-1]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), ahead, back)


@pytest.mark.parametrize("name", STRATEGIES)
def test_clients_that_did_not_move_leave_the_model_where_it_is(name):
    strategy, rng = STRATEGIES[name], np.random.default_rng(0)
    params = random_tree(rng)
    result = random_result(rng, 0.5)._replace(params=params)
    total = total_of(strategy, params, [result] * 2)
    _, after = strategy.apply(strategy.init(params), params, total)
    jax.tree.map(np.testing.assert_array_equal, after, params)


@given(seed=SEEDS)
def test_fed_avg_is_the_weighted_mean(seed):
    strategy, rng = fed_avg(), np.random.default_rng(seed)
    params, trees = random_tree(rng), [random_tree(rng) for _ in range(3)]
    weights = rng.dirichlet(np.ones(3))
    results = [ClientResult(t, jnp.float32(w)) for t, w in zip(trees, weights, strict=True)]
    _, after = strategy.apply(strategy.init(params), params, total_of(strategy, params, results))
    for leaf, *client_leaves in zip(*map(jax.tree.leaves, [after, *trees]), strict=True):
        expected = np.tensordot(weights, np.stack(client_leaves), axes=1)
        np.testing.assert_allclose(leaf, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["fed_adagrad", "fed_adam", "fed_yogi"])
@given(seed=SEEDS)
def test_adaptive_strategies_follow_algorithm_2(name, seed):
    """Reddi et al., arXiv:2003.00295, Algorithm 2, written out in numpy."""
    eta, beta1, beta2, tau = 0.1, 0.5 if name == "fed_adagrad" else 0.9, 0.99, 1e-3
    strategy, rng = STRATEGIES[name], np.random.default_rng(seed)
    params = jnp.asarray(rng.normal(size=5), jnp.float32)
    state, x = strategy.init(params), np.asarray(params, np.float64)
    m, v = np.zeros(5), np.full(5, tau**2)
    for _ in range(3):
        delta = rng.normal(size=5)
        m = beta1 * m + (1 - beta1) * delta
        if name == "fed_adagrad":
            v = v + delta**2
        elif name == "fed_adam":
            v = beta2 * v + (1 - beta2) * delta**2
        else:
            v = v - (1 - beta2) * delta**2 * np.sign(v - delta**2)
        x = x + eta * m / (np.sqrt(v) + tau)
        state, params = strategy.apply(state, params, jnp.asarray(delta, jnp.float32))
    np.testing.assert_allclose(params, x, rtol=1e-4, atol=1e-5)


@given(seed=SEEDS)
def test_fed_avg_m_adds_up_past_updates(seed):
    """Hsu et al., arXiv:1909.06335, Section 4.2: v ← βv + Δ, w ← w + ηv."""
    eta, beta = 0.5, 0.8
    strategy, rng = STRATEGIES["fed_avg_m"], np.random.default_rng(seed)
    params = jnp.asarray(rng.normal(size=5), jnp.float32)
    state, x, v = strategy.init(params), np.asarray(params, np.float64), np.zeros(5)
    for _ in range(3):
        delta = rng.normal(size=5)
        v = beta * v + delta
        x = x + eta * v
        state, params = strategy.apply(state, params, jnp.asarray(delta, jnp.float32))
    np.testing.assert_allclose(params, x, rtol=1e-4, atol=1e-5)


@given(seed=SEEDS, round_num=st.integers(1, 1000))
def test_a_cohort_is_distinct_ascending_and_repeatable(seed, round_num):
    cohort = sample_cohort(seed, round_num, 50, 12)
    assert len(set(cohort.tolist())) == 12
    assert (np.diff(cohort) > 0).all()
    assert 0 <= cohort[0] <= cohort[-1] < 50
    np.testing.assert_array_equal(cohort, sample_cohort(seed, round_num, 50, 12))


def test_every_client_is_drawn_equally_often():
    """1,000 rounds of 5 out of 20: each count is binomial(1000, 1/4); 6 sigma is 82."""
    counts = np.zeros(20)
    for round_num in range(1, 1001):
        counts[sample_cohort(7, round_num, 20, 5)] += 1
    assert abs(counts - 250).max() < 82


def test_a_cohort_larger_than_the_federation_is_refused():
    with pytest.raises(ConfigError, match="clients_per_round is 6, there are 5 clients"):
        sample_cohort(0, 1, 5, 6)
