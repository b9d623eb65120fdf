"""Robust rules: ByzFL's numbers, and what holds of every one of them."""

import re
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import ConfigError
from fedket.secure.robust import rules

VECTORS = np.array(
    [
        [1.83, -3.08, 0.96, 0.07],
        [1.32, 0.39, 1.83, 0.03],
        [-0.52, 0.58, 0.43, -0.36],
        [-0.25, 0.72, 0.7, -0.49],
        [-0.37, -1.81, 1.68, -0.22],
        [9, -9, 9, 9],
        [-30, 4, 30, -2],
    ]
)
BYZFL = [
    (rules.median, [-0.25, 0.39, 1.68, -0.22]),
    (partial(rules.trimmed_mean, f=2), [0.233333333333, -0.28, 1.49, -0.183333333333]),
    (partial(rules.krum, f=2), [-0.37, -1.81, 1.68, -0.22]),
    (partial(rules.multi_krum, f=2), [0.402, -0.64, 1.12, -0.194]),
    (
        partial(rules.geometric_median, nu=0.1, T=3),
        [0.160667529122, -0.428899448087, 1.498415157731, -0.070542030899],
    ),
    (
        partial(rules.centred_clipping, m=np.zeros(4), L=2, tau=2.0),
        [0.161330951283, -0.511999929183, 1.416587814687, -0.009990155873],
    ),
    (
        partial(rules.norm_bound, c=1.5),
        [0.044049705409, -0.197480939429, 0.789563048209, -0.036287295115],
    ),
]
"""Of ByzFL 0.0.11: Median, TrMean, Krum, MultiKrum, GeometricMedian, CenteredClipping, and Average
after Clipping, of the vectors above."""

FAR = 50.0
"""Beyond the range of all clients: nothing is clipped."""

RULES = {
    "median": rules.median,
    "trimmed_mean": partial(rules.trimmed_mean, f=2),
    "krum": partial(rules.krum, f=2),
    "multi_krum": partial(rules.multi_krum, f=2),
    "geometric_median": partial(rules.geometric_median, T=2000),
}


def clipping(vectors, tau=FAR):
    """Centred clipping from where the first two agree: it moves along with the vectors."""
    return rules.centred_clipping(vectors, m=vectors[:2].mean(axis=0), tau=tau)


def clients(seed, num_clients=9, num_values=6):
    return np.random.default_rng(seed).normal(size=(num_clients, num_values))


@pytest.mark.parametrize(("rule", "expected"), BYZFL)
def test_rules_are_those_of_byzfl(rule, expected):
    np.testing.assert_allclose(rule(VECTORS), expected, atol=1e-11)
    single = rule(VECTORS.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, atol=1e-5)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@given(seed=st.integers(0, 2**31 - 1))
def test_neither_the_order_of_clients_nor_where_zero_is_matters(rule, seed):
    vectors, rng = clients(seed), np.random.default_rng(seed)
    shift = rng.normal(size=6)
    close = partial(np.testing.assert_allclose, atol=1e-6)
    close(rule(rng.permutation(vectors)), rule(vectors))
    close(rule(vectors + shift), rule(vectors) + shift)
    close(rules.norm_bound(rng.permutation(vectors), 1.0), rules.norm_bound(vectors, 1.0))
    close(clipping(vectors + shift, 1.0), clipping(vectors, 1.0) + shift)


@given(seed=st.integers(0, 2**31 - 1))
def test_without_attackers_a_rule_is_near_the_mean_or_is_it(seed):
    vectors = clients(seed)
    mean, width = vectors.mean(axis=0), np.linalg.norm(vectors - vectors.mean(axis=0), axis=1).max()
    for rule in RULES.values():
        assert np.linalg.norm(rule(vectors) - mean) <= width
    for exact in (
        partial(rules.trimmed_mean, f=0),
        partial(rules.multi_krum, f=0),
        partial(rules.norm_bound, c=FAR),
        clipping,
    ):
        np.testing.assert_allclose(exact(vectors), mean, atol=1e-12)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@given(seed=st.integers(0, 2**31 - 1), size=st.floats(10, 1e12), apart=st.booleans())
def test_f_attackers_move_no_rule_beyond_the_honest(rule, seed, size, apart):
    honest, rng = clients(seed, 7), np.random.default_rng(seed)
    sent = size * rng.normal(size=(2 if apart else 1, 6)) * np.ones((2, 1))
    both = rng.permutation(np.concatenate([honest, sent]))
    middle = honest.mean(axis=0)
    width = np.linalg.norm(honest - middle, axis=1).max()
    assert np.linalg.norm(rule(both) - middle) <= 4 * width
    assert np.linalg.norm(both.mean(axis=0) - middle) > size / 100


@given(seed=st.integers(0, 2**31 - 1), size=st.floats(10, 1e12))
def test_an_attacker_moves_a_clipped_mean_no_further_than_the_clip_over_the_clients(seed, size):
    honest, attacker = clients(seed, 8), size * clients(seed + 1, 1)
    both, m = np.concatenate([honest, attacker]), np.zeros(6)
    bounded = rules.norm_bound(both, 1.0), rules.norm_bound(honest, 1.0)
    centred = (rules.centred_clipping(v, m, tau=1.0) for v in (both, honest))
    for with_it, without in (bounded, tuple(centred)):
        assert np.linalg.norm(9 * with_it - 8 * without) <= 1 + 1e-9


def test_the_geometric_median_is_where_no_step_lessens_the_distances():
    vectors = clients(3)
    middle = rules.geometric_median(vectors, T=2000)
    total = np.linalg.norm(vectors - middle, axis=1).sum()
    for step in 1e-3 * clients(4, 20):
        assert np.linalg.norm(vectors - middle - step, axis=1).sum() >= total - 1e-9


@pytest.mark.parametrize("size", [1e3, 1e18, 1e30])
def test_single_precision_stands_attackers_beyond_its_squares_and_clients_close_together(size):
    honest = 100 + 1e-2 * clients(5, 7)
    sent = np.concatenate([honest, [[size] * 6, [-size] * 6]]).astype(np.float32)
    width = np.linalg.norm(honest - honest.mean(axis=0), axis=1).max()
    for rule in (*RULES.values(), partial(rules.centred_clipping, m=honest[0], tau=0.01)):
        assert np.linalg.norm(rule(sent) - honest.mean(axis=0)) <= 2 * width
    exact = sent[:7].astype(np.float64)
    expected = exact[np.argmin(rules._scores(np.concatenate([exact, sent[7:]]), 2))]
    np.testing.assert_allclose(rules.krum(sent, 2), expected, rtol=1e-6)


def test_more_attackers_than_a_rule_stands_are_one_line():
    for rule in (rules.trimmed_mean, rules.krum, rules.multi_krum):
        with pytest.raises(ConfigError, match=re.escape("f = 4 attackers of 7 is more")):
            rule(VECTORS, f=4)
