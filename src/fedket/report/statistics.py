"""Statistics over seeds: means with Student's intervals, and paired differences between settings.

Runs of one experiment that differ in their seed are taken for independent draws. Two settings are
compared over the seeds that both have: the seed is the pair, since it decides data split,
initialisation and cohorts of both. Numbers are in the unit of what is given; what needs two runs is
NaN with one.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

CONFIDENCE = 0.95
"""Of intervals."""

SIGNIFICANCE = 0.05
"""Level of the tests, over all comparisons together."""


class Estimate(NamedTuple):
    """Of n values each, entry by entry.

    Attributes:
        n: Values.
        mean: Their mean.
        sd: Standard deviation, n − 1 in the denominator.
        se: Standard error of the mean, sd/√n.
        low: Lower end of the interval of `CONFIDENCE`: mean − t·se, t of Student's distribution
            with n − 1 degrees of freedom.
        high: Upper end.
    """

    n: int
    mean: Float[np.ndarray, "*entries"]
    sd: Float[np.ndarray, "*entries"]
    se: Float[np.ndarray, "*entries"]
    low: Float[np.ndarray, "*entries"]
    high: Float[np.ndarray, "*entries"]


def estimate(values: Sequence[float] | Float[np.ndarray, "runs *entries"]) -> Estimate:
    """Mean over the first axis, of at least one run, with its uncertainty."""
    from scipy.special import stdtrit  # scipy.stats takes half a second to import

    x = np.asarray(values, np.float64)
    n, mean = len(x), x.mean(axis=0)
    sd = x.std(axis=0, ddof=1) if n > 1 else np.full(mean.shape, np.nan)
    se = sd / np.sqrt(n)
    half = stdtrit(n - 1, (1 + CONFIDENCE) / 2) * se if n > 1 else se
    return Estimate(n, mean, sd, se, mean - half, mean + half)


class Difference(NamedTuple):
    """How much better one setting is than another, over the seeds of both.

    Attributes:
        family: Where both belong.
        first: Name of the one.
        second: Name of the other.
        estimate: Of the differences first − second, over pairs.
        p: Of a two-sided paired t-test; NaN if all differences are equal.
        p_holm: The same, adjusted by Holm's method for all comparisons made together.
    """

    family: str
    first: str
    second: str
    estimate: Estimate
    p: float
    p_holm: float

    @property
    def significant(self) -> bool:
        """Whether it is at the level `SIGNIFICANCE` over all comparisons together."""
        return self.p_holm < SIGNIFICANCE


def paired_differences(
    families: Mapping[str, Mapping[str, Mapping[int, float]]], most: int | None = None
) -> list[Difference]:
    """Compare settings two by two, within families, and adjust for all comparisons together.

    Args:
        families: Name of a family -> name of a setting -> seed -> value.
        most: Of more comparisons than this, only those with a family's first setting are made.

    Returns:
        The comparisons of settings that share two seeds or more.
    """
    pairs = [(name, pair) for name, family in families.items() for pair in combinations(family, 2)]
    if most is not None and len(pairs) > most:
        pairs = [(name, pair) for name, pair in pairs if pair[0] == next(iter(families[name]))]
    found = []
    for name, (second, first) in pairs:
        family = families[name]
        shared = [seed for seed in family[first] if seed in family[second]]
        if len(shared) > 1:
            gaps = estimate([family[first][s] - family[second][s] for s in shared])
            found.append(Difference(name, first, second, gaps, paired_p(gaps), np.nan))
    adjusted = holm([d.p for d in found])
    return [d._replace(p_holm=float(p)) for d, p in zip(found, adjusted, strict=True)]


def paired_p(gaps: Estimate) -> float:
    """The p-value of the paired t-test, of scalar differences: `scipy.stats.ttest_rel`'s."""
    from scipy.special import stdtr

    if not gaps.se > 0:
        return np.nan
    return float(2 * stdtr(gaps.n - 1, -abs(gaps.mean / gaps.se)))


def holm(p: Sequence[float]) -> Float[np.ndarray, " tests"]:
    """Holm's step-down adjustment (Holm 1979): of m p-values the i-th smallest times m − i + 1.

    NaNs stay, and do not count.
    """
    values = np.asarray(p, np.float64)
    adjusted = np.full(len(values), np.nan)
    order = np.argsort(values)[: np.count_nonzero(~np.isnan(values))]  # NaNs come last
    steps = values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return adjusted
