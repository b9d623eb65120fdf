"""What noise costs in ε: Rényi curves of the mechanisms, their sums over rounds, and ε from them.

A mechanism that adds noise to a sum whose L2 norm one client changes by at most Δ has a Rényi
divergence ε(α) of each order α between the sums with and without that client (Mironov 2017,
arXiv:1702.07476). Curves of rounds add up; `epsilon_of` turns the total into (ε, δ). Neighbours
differ in one client's contribution, which is replaced by zeros: who takes part is public.

ε from curves is `dp-accounting`'s (extra `dp`); the curves are here, since it has no Skellam.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from fedket.bridges.extras import needs_extra
from fedket.errors import ConfigError

Curve = Float[np.ndarray, " orders"]
"""ε(α) for each of `ORDERS`."""

ORDERS: Float[np.ndarray, " orders"] = np.array(
    [*range(2, 257), 512, 1024, 2048, 4096, 8192], float
)
"""The orders α. Whole numbers: for others the bound of the Skellam mechanism is not proven."""

BETA = math.exp(-0.5)
"""β of conditional rounding: it is repeated until the norm is one that a share 1 − β keeps to."""


def rounded_l2(norm: float, num_values: int) -> float:
    """Δ₂: largest L2 norm of a vector after conditional rounding (Kairouz et al. 2021, Prop. 4).

    Args:
        norm: Its norm before, in steps of the rounding.
        num_values: Its length d.
    """
    likely = math.sqrt(2 * math.log(1 / BETA)) * (norm + math.sqrt(num_values) / 2)
    return min(norm + math.sqrt(num_values), math.sqrt(norm**2 + num_values / 4 + likely))


def rounded_l1(l2: float, num_values: int) -> float:
    """Δ₁: largest L1 norm of integers whose L2 norm is `l2`."""
    return min(math.sqrt(num_values) * l2, l2**2)


def gaussian_curve(noise_multiplier: float) -> Curve:
    """Gaussian noise, continuous or discrete: α/2z² (arXiv:2004.00010, Theorem 4).

    Args:
        noise_multiplier: z, standard deviation over sensitivity; 0 costs everything.
    """
    return ORDERS / (2 * noise_multiplier**2) if noise_multiplier else _no_noise()


def skellam_curve(l2: float, num_values: int, variance: float) -> Curve:
    """Skellam noise (Agarwal, Kairouz and Liu 2021, arXiv:2110.04995, Theorem 3.5).

    αΔ₂²/2μ + min(((2α − 1)Δ₂² + 6Δ₁)/4μ², 3Δ₁/2μ).

    Args:
        l2: Δ₂ of the integers.
        num_values: Their number d.
        variance: μ, of the honest clients' noise together.
    """
    if not variance:
        return _no_noise()
    l1 = rounded_l1(l2, num_values)
    fine = ((2 * ORDERS - 1) * l2**2 + 6 * l1) / (4 * variance**2)
    return ORDERS * l2**2 / (2 * variance) + np.minimum(fine, 3 * l1 / (2 * variance))


def distributed_gaussian_curve(
    l2: float, num_values: int, deviation: float, num_clients: int
) -> Curve:
    """Sum of discrete Gaussians (Kairouz, Liu and Steinke 2021, arXiv:2102.06387, Prop. 14).

    Args:
        l2: Δ₂ of the integers.
        num_values: Their number d.
        deviation: σ of one client.
        num_clients: n, honest clients that add noise.
    """
    if not deviation:
        return _no_noise()
    terms = (k / (k + 1) for k in range(1, num_clients))
    tau = 10 * math.fsum(math.exp(-2 * (math.pi * deviation) ** 2 * term) for term in terms)
    total = math.sqrt(num_clients) * deviation
    a, b = rounded_l1(l2, num_values) / total, l2 / total
    half = ORDERS / 2
    bounds: tuple[Curve, ...] = (
        half * b**2 + tau * num_values,
        half * (b**2 + 2 * a * tau + tau**2 * num_values),
        half * (b + math.sqrt(num_values) * tau) ** 2,
    )
    least: Curve = np.stack(bounds).min(axis=0)
    return least


def sampled_gaussian_curve(noise_multiplier: float, rate: float) -> Curve:
    """Gaussian noise on a sum over members that were drawn independently, and secretly.

    Poisson sampling (Mironov, Talwar and Zhang 2019, arXiv:1908.10530). A draw that is empty is
    noised, and counts, like any other.

    Args:
        noise_multiplier: z.
        rate: q, with what probability each is drawn; 1 is `gaussian_curve`.
    """
    if not noise_multiplier:
        return _no_noise()
    events = _dp_accounting()
    accountant = events.rdp.RdpAccountant(ORDERS)
    accountant.compose(events.PoissonSampledDpEvent(rate, events.GaussianDpEvent(noise_multiplier)))
    return np.asarray(accountant._rdp)


def epsilon_of(curve: Curve, delta: float) -> float:
    """Return ε at δ of a total curve (Canonne, Kamath and Steinke 2020, Prop. 12); inf for inf.

    Raises:
        ConfigError: The extra `dp` is not installed.
    """
    accounting = _dp_accounting()
    epsilon, _ = accounting.rdp.rdp_privacy_accountant.compute_epsilon(ORDERS, curve, delta)
    return max(0.0, float(epsilon))


def gaussian_epsilon(noise_multiplier: float, delta: float, rounds: int = 1) -> float:
    """Return ε of continuous Gaussian noise exactly (Balle and Wang 2018, arXiv:1805.06530).

    For comparison: what curves give away. Rounds compose to one with z/√rounds.
    """
    from scipy.optimize import brentq  # both take long to import
    from scipy.special import log_ndtr

    z = noise_multiplier / math.sqrt(rounds)

    def excess(epsilon: float) -> float:
        near, far = log_ndtr(1 / (2 * z) - epsilon * z), log_ndtr(-1 / (2 * z) - epsilon * z)
        return math.exp(near) - math.exp(epsilon + far) - delta

    if excess(0.0) <= 0:
        return 0.0
    return float(brentq(excess, 0.0, 1 / (2 * z**2) + 40 / z, xtol=1e-12))


def noise_for(curve_of: Callable[[float], Curve], epsilon: float, delta: float) -> float:
    """Return the least noise multiplier, to 0.1 %, with which a total curve stays within ε at δ.

    Args:
        curve_of: Noise multiplier -> total curve; more noise never costs more.
        epsilon: What may be spent.
        delta: δ.

    Raises:
        ConfigError: No multiplier up to 10^4 suffices, or the extra `dp` is not installed.
    """
    low, high = 0.0, 1.0
    while epsilon_of(curve_of(high), delta) > epsilon:
        low, high = high, 2 * high
        if high > 1e4:
            raise ConfigError(
                f"no noise gives epsilon {epsilon:g} at delta {delta:g} over so many rounds; use "
                "a larger privacy.epsilon, fewer rounds, or words of more bits"
            )
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        if epsilon_of(curve_of(middle), delta) > epsilon:
            low = middle
        else:
            high = middle
    return high


def _no_noise() -> Curve:
    return np.full(len(ORDERS), np.inf)


def _dp_accounting() -> Any:
    with needs_extra("dp"):
        import dp_accounting

        return dp_accounting
