"""Kato's concentration inequality: from counts to expectations and back, for coherent attacks.

Trials may depend on each other in any way. k of n trials succeeded; S is the sum of the
probabilities that each trial had given all earlier ones. For any a chosen before the trials and
b^2 = a^2 + (1 + 4a/(3 sqrt(n)))^2 ln(1/eps)/2, except with probability eps

    S <= k + [b + a(2k/n - 1)] sqrt(n)

(Kato, arXiv:2002.04357, theorem 1, as used by Currás-Lorenzo et al., npj Quantum Inf. 7, 22
(2021)). With 4a replaced by -4a the bracket bounds k - S: the way back. The best a for a count is
found in closed form; the key formula of our specification takes it at the count itself, a protocol
takes it at the count it expects, which is strictly within the theorem and costs next to nothing.
"""

from math import log, sqrt

ROUNDS = 60
"""Steps of a quickly converging iteration; stopping early only loosens the bound."""


def deviation(
    num_trials: float, count: float, failure_prob: float, planned: float | None = None
) -> float:
    """Return how much more than `count` the expectation may be.

    Args:
        num_trials: Number of trials n, at least 1.
        count: Successes k, 0..n.
        failure_prob: Probability eps that the bound is wrong, in (0, 1).
        planned: Count for which a is best; None means `count` itself.
    """
    a, b = _slope(num_trials, count if planned is None else planned, failure_prob, back=False)
    return (b + a * (2 * count / num_trials - 1)) * sqrt(num_trials)


def expected_at_most(
    num_trials: float, count: float, failure_prob: float, planned: float | None = None
) -> float:
    """Return an upper bound on the expectation behind a count; arguments as in `deviation`."""
    return min(num_trials, count + max(0.0, deviation(num_trials, count, failure_prob, planned)))


def count_at_most(
    num_trials: float, expected: float, failure_prob: float, planned: float | None = None
) -> float:
    """Return an upper bound on a count with at most this expectation: the way back.

    Args:
        num_trials: Number of trials n.
        expected: Upper bound S on the expectation.
        failure_prob: Probability that the bound is wrong.
        planned: Count for which a is best; None means the bound itself.
    """
    if planned is not None:
        return _solved(num_trials, expected, failure_prob, planned)
    # Any a gives a valid bound; it is smallest where a is best for the bound itself.
    bound, next_bound = num_trials, expected + 4 * log(1 / failure_prob) + 4
    for _ in range(ROUNDS):
        next_bound = _solved(num_trials, expected, failure_prob, min(next_bound, num_trials))
        if next_bound > bound * (1 - 1e-13):
            break
        bound = next_bound
    return bound


def _solved(num_trials: float, expected: float, failure_prob: float, planned: float) -> float:
    """Solve k = S + [b + a(2k/n - 1)] sqrt(n) for k."""
    a, b = _slope(num_trials, planned, failure_prob, back=True)
    share = 1 - 2 * a / sqrt(num_trials)
    if share <= 0:
        return num_trials
    return min(num_trials, (expected + (b - a) * sqrt(num_trials)) / share)


def _slope(
    num_trials: float, count: float, failure_prob: float, *, back: bool
) -> tuple[float, float]:
    """Return the a and b that make b + a(2*count/n - 1) smallest."""
    half_log = log(1 / failure_prob) / 2
    c = (-4 if back else 4) / (3 * sqrt(num_trials))
    share = count / num_trials
    t, extra = 1 - 2 * share, half_log * c * c
    curvature = 1 + extra
    # curvature - t*t, written so that nothing cancels where successes are rare
    a = (t * sqrt(half_log / (extra + 4 * share * (1 - share))) - half_log * c) / curvature
    return a, sqrt(a * a + (1 + c * a) ** 2 * half_log)
