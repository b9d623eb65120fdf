"""Statistics over seeds are SciPy's, and a seed is a pair."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fedket.report.statistics import estimate, holm, paired_differences


@given(seed=st.integers(0, 2**31 - 1), n=st.integers(2, 12))
def test_an_interval_is_students(seed: int, n: int) -> None:
    x = np.random.default_rng(seed).normal(size=(n, 3))
    found = estimate(x)
    low, high = stats.t.interval(0.95, n - 1, loc=x.mean(axis=0), scale=stats.sem(x))
    np.testing.assert_allclose(found.low, low)
    np.testing.assert_allclose(found.high, high)
    np.testing.assert_allclose(found.se, stats.sem(x))
    assert found.n == n


def test_one_run_has_a_mean_and_nothing_to_say_of_its_spread() -> None:
    found = estimate([0.5])
    assert (found.n, found.mean) == (1, 0.5)
    assert np.isnan([found.sd, found.se, found.low, found.high]).all()


@given(seed=st.integers(0, 2**31 - 1), n=st.integers(2, 12))
def test_settings_are_compared_over_the_seeds_that_both_have(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    settings = {"a": dict(enumerate(a)), "b": dict(enumerate(b)) | {n: 9.0}, "c": {n + 1: 0.0}}
    (found,) = paired_differences({"": settings})
    expected = stats.ttest_rel(b, a)
    assert (found.first, found.second, found.estimate.n) == ("b", "a", n)
    assert found.p == found.p_holm == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    np.testing.assert_allclose((found.estimate.low, found.estimate.high), interval)


def test_settings_are_compared_within_families_and_adjusted_together() -> None:
    rng = np.random.default_rng(0)
    families = {f: {s: dict(enumerate(rng.normal(size=4))) for s in "ab"} for f in "xy"}
    found = paired_differences(families)
    assert [d[:3] for d in found] == [("x", "b", "a"), ("y", "b", "a")]
    assert [d.p_holm for d in found] == list(holm([d.p for d in found]))


def test_of_too_many_comparisons_those_with_the_first_are_left() -> None:
    settings = {name: {0: x, 1: x + 1.0} for name, x in (("a", 0.0), ("b", 1.0), ("c", 2.0))}
    found = paired_differences({"": settings}, most=2)
    assert [(d.first, d.second) for d in found] == [("b", "a"), ("c", "a")]
    # Every pair differs by the same: there is no spread to test against.
    assert all(np.isnan(d.p) and not d.significant for d in found)


def test_holm_multiplies_the_smallest_most() -> None:
    # Holm (1979); the numbers are those of R's p.adjust(c(.01, .04, .03, .005), "holm").
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.04, np.nan]), [0.04, np.nan])
    assert holm([]).shape == (0,)
