from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from fedket.keys.qkd.kato import count_at_most, deviation, expected_at_most


def bracket(a, n, count, eps, sign):
    """The right-hand side of the theorem, as printed; sign -1 for the way back."""
    b = sqrt(a * a + (1 + sign * 4 * a / (3 * sqrt(n))) ** 2 * log(1 / eps) / 2)
    return (b + a * (2 * count / n - 1)) * sqrt(n)


# Vectors of the specification, section 2.1.
@pytest.mark.parametrize(
    ("n", "count", "expected"),
    [(1e6, 1e3, 237.6876), (1e9, 1e4, 715.2042), (1e11, 5e5, 4957.1539)],
)
def test_deviations_of_the_specification(n, count, expected):
    assert deviation(n, count, 2.5e-11) == pytest.approx(expected, abs=5e-5)


@given(
    n=st.floats(1e2, 1e12), share=st.floats(0, 1), exponent=st.floats(1, 20), a=st.floats(-50, 50)
)
def test_no_slope_gives_a_smaller_bracket_than_the_closed_form(n, share, exponent, a):
    count, eps = n * share, 10**-exponent
    best = deviation(n, count, eps)
    assert best <= bracket(a, n, count, eps, +1) + 1e-6 * sqrt(n)


@pytest.mark.parametrize(("n", "expected"), [(1e4, 30.0), (1e8, 5e3), (1e11, 4e6)])
def test_the_way_back_solves_its_own_equation_with_the_best_slope(n, expected):
    bound = count_at_most(n, expected, 1e-10)
    worst = minimize_scalar(lambda a: bracket(a, n, bound, 1e-10, -1), bounds=(-99, 9e4)).fun
    assert bound - expected == pytest.approx(worst, rel=1e-6)


@given(planned=st.floats(0.5, 2), exponent=st.floats(3, 12))
def test_a_slope_planned_for_another_count_only_loosens_the_bounds(planned, exponent):
    n, count, eps = 1e8, 1e4, 10**-exponent
    assert expected_at_most(n, count, eps, planned * count) >= expected_at_most(n, count, eps)
    best = count_at_most(n, count, eps)
    assert count_at_most(n, count, eps, planned * best) >= best * (1 - 1e-12)
    assert count_at_most(n, count, eps, best) == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("count", [0.0, 1.0, 50.0, 99.0, 100.0])
def test_bounds_hold_at_the_ends_of_the_range(count):
    assert count <= expected_at_most(100.0, count, 1e-9) <= 100
    assert count <= count_at_most(100.0, count, 1e-9) <= 100


def test_bounds_hold_for_coin_flips_as_often_as_they_say():
    # Independent trials are one case of the theorem. With eps = 1e-12 per bound and 20,000
    # repetitions a failure has probability < 1e-7 even if the bound were sharp; it is not.
    counts = np.random.default_rng(7).binomial(10_000, 0.02, 20_000)
    assert expected_at_most(1e4, float(counts.min()), 1e-12) >= 200
    assert counts.max() <= count_at_most(1e4, 200.0, 1e-12)
