"""A clip that follows norms: plain without noise, bounded whatever the clip, at its quantile."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.federated.adaptive_clip import adaptive_clip
from fedket.federated.qfedfisher import qfedfisher
from fedket.federated.strategies import fed_avg
from fedket.types import Bound, ClientResult

VOTE, CLIENTS, VALUES = 0.5, 8, 12
PARAMS = jnp.zeros(VALUES)


def results(lengths, weight=1 / CLIENTS, seed=0):
    rows = np.random.default_rng(seed).normal(size=(len(lengths), VALUES))
    rows *= np.array(lengths)[:, None] / np.linalg.norm(rows, axis=1, keepdims=True)
    return [ClientResult(jnp.asarray(row, jnp.float32), jnp.float32(weight)) for row in rows]


def a_step(strategy, state, made):
    """One round: the sum of the contributions, and what becomes of it."""
    sent = strategy.broadcast(state, PARAMS)
    contributions = [strategy.contribute(PARAMS, r._replace(extra=sent.extra)) for r in made]
    total = jax.tree.map(lambda *leaves: sum(leaves), *contributions)
    return strategy.apply(state, PARAMS, total), contributions


def length_of(tree):
    return float(np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(tree))))


def test_updates_within_the_clip_are_summed_as_without_it():
    made = results([0.1 * k for k in range(1, CLIENTS + 1)])
    strategy = adaptive_clip(fed_avg(), 3.0, VOTE)
    (_, params), _ = a_step(strategy, strategy.init(PARAMS), made)
    np.testing.assert_allclose(params, sum(r.params for r in made) / CLIENTS, rtol=1e-5)


@pytest.mark.parametrize("clip", [1e-3, 1.0, 50.0])
def test_a_contribution_has_the_norm_that_the_mechanism_counts_on(clip):
    strategy = adaptive_clip(fed_avg(), clip, VOTE)
    _, contributions = a_step(strategy, strategy.init(PARAMS), results([0.0, 0.5, 1e4]))
    for one in contributions:
        assert length_of(one) * CLIENTS <= np.sqrt(1 + VOTE**2 / 4) + 1e-5


def test_leaves_of_several_bounds_are_clipped_together_and_restored():
    """QFedFisher's information has no weight and a bound of its own."""
    inner = qfedfisher(threshold=0.0, mode="fisher_only")
    strategy = adaptive_clip(inner, 100.0, VOTE)
    made = [r._replace(measured=jnp.full(VALUES, 0.5)) for r in results([1.0] * CLIENTS)]
    (_, params), contributions = a_step(strategy, strategy.init(PARAMS), made)
    total = jax.tree.map(lambda *leaves: sum(leaves), *(inner.contribute(PARAMS, r) for r in made))
    np.testing.assert_allclose(params, inner.apply((), PARAMS, total)[1], atol=1e-6)
    bounds = strategy.bounds(0.3)
    assert bounds["within"] == Bound(0.3)
    assert bounds["update"]["fisher"] == Bound(0.3, weighted=False)
    assert set(contributions[0]["update"]) == set(bounds["update"])


@pytest.mark.parametrize("start", [0.01, 30.0])
def test_the_clip_goes_to_the_quantile_of_the_norms(start):
    lengths = np.linspace(0.5, 2.0, CLIENTS)
    strategy = adaptive_clip(fed_avg(), start, VOTE, quantile=0.5, rate=0.2)
    state, step = strategy.init(PARAMS), jax.jit(lambda s: a_step(strategy, s, results(lengths))[0])
    for _ in range(120):
        state, _ = step(state)
    assert lengths[2] < float(state.clip) < lengths[5]
