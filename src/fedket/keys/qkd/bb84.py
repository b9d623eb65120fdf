"""Decoy-state BB84 with finitely many pulses (Lim et al., PRA 89, 022307 (2014), arXiv:1311.7129).

Alice sends weak pulses of three intensities mu_1 > mu_2 + mu_3, mu_2 > mu_3; both ends choose
basis X with probability q_x. Key comes from basis X, the phase error from basis Z. Counts are
tuples with one entry per intensity. The analysis is against general attacks; its sampling term
gamma rests on an approximation, so it is the customary bound rather than a strict one (Tupkary et
al., arXiv:2502.10340).

This is a model of the physics, not a measurement: every figure is simulated.
"""

from collections.abc import Sequence
from math import exp, factorial, log, log2, sqrt
from typing import NamedTuple

from fedket.errors import ConfigError
from fedket.keys.qkd.blocks import Counts, KeyLength, PerIntensity, binary_entropy
from fedket.keys.qkd.search import lowest_between, lowest_for_block

LOWEST_MU = 2e-4


class Bb84Channel(NamedTuple):
    """From Alice's output to Bob's detectors.

    Attributes:
        eta: Transmittance, detector efficiency included.
        dark_prob: p_dc, chance of a dark count per detector and pulse.
        afterpulse_prob: p_ap.
        misalignment: e_mis, errors of the optics.
    """

    eta: float
    dark_prob: float = 6e-7
    afterpulse_prob: float = 0.04
    misalignment: float = 0.005


class DecoyPoint(NamedTuple):
    """A working point: what both ends agree on before a block.

    Attributes:
        channel: The channel as calibrated.
        mus: Three intensities in photons per pulse, largest first.
        probs: How often each is sent; sum 1.
        q_x: Probability of basis X, at both ends.
        pulses: Pulses N per block.
        secrecy: eps_sec.
        correctness: eps_cor.
    """

    channel: Bb84Channel
    mus: PerIntensity
    probs: PerIntensity
    q_x: float
    pulses: float
    secrecy: float = 1e-10
    correctness: float = 1e-15


def clicks_per_pulse(channel: Bb84Channel, mu: float) -> tuple[float, float]:
    """Return (R_k, e_k): click and error probability per pulse of intensity `mu` in one basis."""
    light = 1 - exp(-channel.eta * mu)
    detection = 1 - (1 - 2 * channel.dark_prob) * exp(-channel.eta * mu)
    gain = detection * (1 + channel.afterpulse_prob)
    half_afterpulse = channel.afterpulse_prob * detection / 2
    return gain, channel.dark_prob + channel.misalignment * light + half_afterpulse


def expected_counts(point: DecoyPoint) -> Counts:
    """Return the expectation of a block's counters."""
    rates = [clicks_per_pulse(point.channel, mu) for mu in point.mus]
    gains, errors = ([p * r[i] for p, r in zip(point.probs, rates, strict=True)] for i in (0, 1))
    in_x, in_z = point.pulses * point.q_x**2, point.pulses * (1 - point.q_x) ** 2
    return Counts(
        tuple(in_x * g for g in gains),
        tuple(in_x * e for e in errors),
        tuple(in_z * g for g in gains),
        tuple(in_z * e for e in errors),
    )


def key_length(point: DecoyPoint, counts: Counts, leak_bits: float) -> KeyLength:
    """Return l = s_X0 + s_X1(1 - h(phi_X)) - leak - 6 log2(21/eps_sec) - log2(2/eps_cor) (eq. 1).

    Args:
        point: What was agreed on before.
        counts: The block's counters.
        leak_bits: Bits disclosed by error correction.
    """
    eps = point.secrecy / 21
    vacuum, single = _photons_at_least(point, counts.key, eps)
    _, test_single = _photons_at_least(point, counts.test, eps)
    if single <= 0 or test_single <= 0:
        return KeyLength(-leak_bits, 0.5)
    ratio = _single_errors_at_most(point, counts.test_errors, eps) / test_single
    ratio = min(0.5, max(0.0, ratio))
    phase_error = min(0.5, ratio + _sampling_gap(ratio, test_single, single, eps))
    overhead = 6 * log2(1 / eps) + log2(2 / point.correctness)
    bits = vacuum + single * (1 - binary_entropy(phase_error)) - leak_bits - overhead
    return KeyLength(bits, phase_error)


def planned_key(point: DecoyPoint, efficiency: float = 1.16) -> KeyLength:
    """Return the key of a block whose counts are the expected ones; leak f h(e_X) n_X."""
    counts = expected_counts(point)
    leak = efficiency * counts.num_raw * binary_entropy(counts.key_error)
    return key_length(point, counts, leak)


def best_point(channel: Bb84Channel, pulses: float, efficiency: float = 1.16) -> DecoyPoint:
    """Return the working point with the longest key: optimised over mu_1, mu_2, p_1, p_2, q_x.

    mu_3 stays at 2e-4: lasers cannot be switched off completely.

    Raises:
        ConfigError: Fewer than 1 pulse.
    """
    if not pulses >= 1:
        raise ConfigError(f"a block has 1 or more pulses, got {pulses}; 1e9 to 1e12 is usual")

    def point_at(values: Sequence[float], size: float) -> DecoyPoint:
        mu_1, part_2, p_1, part_p, q_x = map(_into_unit, values)
        mu_2, p_2 = LOWEST_MU + 0.9 * mu_1 * part_2, (1 - p_1) * part_p
        probs = (p_1, p_2, 1 - p_1 - p_2)
        return DecoyPoint(channel, (mu_1 + 2 * LOWEST_MU, mu_2, LOWEST_MU), probs, q_x, size)

    def loss(values: Sequence[float], size: float) -> float:
        return -planned_key(point_at(values, size), efficiency).bits / (size * channel.eta)

    start = [log(p / (1 - p)) for p in (0.5, 0.25, 0.6, 0.7, 0.9)]
    return point_at(lowest_for_block(loss, start, pulses), pulses)


def asymptotic_key(channel: Bb84Channel, mu: float, efficiency: float = 1.16) -> KeyLength:
    """Return the key per pulse with infinitely many pulses and decoys, nearly all in basis X.

    Q_0 + Q_1 (1 - h(e_1)) - f Q h(E) (Lo, Ma and Chen, PRL 94, 230504 (2005)), with the yields of
    the channel model above.
    """
    gain, wrong = clicks_per_pulse(channel, mu)
    (empty, _), (single, single_wrong) = _yields(channel, 0), _yields(channel, 1)
    phase_error = min(0.5, single_wrong / single)
    secret = exp(-mu) * (empty + mu * single * (1 - binary_entropy(phase_error)))
    leak = efficiency * gain * binary_entropy(wrong / gain)
    return KeyLength(secret - leak, phase_error)


def best_asymptotic_mu(channel: Bb84Channel, efficiency: float = 1.16) -> float:
    """Return the signal intensity with the best asymptotic rate."""

    def loss(mu: float) -> float:
        return -asymptotic_key(channel, mu, efficiency).bits / channel.eta

    return lowest_between(loss, 0.01, 1.5)


def _photons_at_least(point: DecoyPoint, counts: PerIntensity, eps: float) -> tuple[float, float]:
    """Return (s_0, s_1): clicks from empty and single-photon pulses, lower bounds (eqs. 2, 3)."""
    mu_1, mu_2, mu_3 = point.mus
    low_2 = _scaled(point, counts, 1, -1, eps)
    low_3, high_3 = (_scaled(point, counts, 2, sign, eps) for sign in (-1, 1))
    high_1, high_2 = (_scaled(point, counts, k, 1, eps) for k in (0, 1))
    tau_0, tau_1 = _photon_prob(point, 0), _photon_prob(point, 1)
    vacuum = max(0.0, tau_0 * (mu_2 * low_3 - mu_3 * high_2) / (mu_2 - mu_3))
    multi = (mu_2**2 - mu_3**2) / mu_1**2 * (high_1 - vacuum / tau_0)
    single = tau_1 * mu_1 * (low_2 - high_3 - multi)
    return vacuum, single / (mu_1 * (mu_2 - mu_3) - mu_2**2 + mu_3**2)


def _yields(channel: Bb84Channel, n: int) -> tuple[float, float]:
    """Return click and error probability of a pulse with n photons; cf. `clicks_per_pulse`."""
    lost = (1 - channel.eta) ** n
    detection = 1 - (1 - 2 * channel.dark_prob) * lost
    half_afterpulse = channel.afterpulse_prob * detection / 2
    wrong = channel.dark_prob + channel.misalignment * (1 - lost) + half_afterpulse
    return detection * (1 + channel.afterpulse_prob), wrong


def _into_unit(value: float) -> float:
    """Map a real number into (0, 1), away from the ends, as an unconstrained search needs it."""
    return 1e-5 + (1 - 2e-5) / (1 + exp(-min(max(value, -40.0), 40.0)))


def _single_errors_at_most(point: DecoyPoint, errors: PerIntensity, eps: float) -> float:
    """Return v_1: errors of single-photon clicks, upper bound (eq. 4)."""
    high_2, low_3 = _scaled(point, errors, 1, 1, eps), _scaled(point, errors, 2, -1, eps)
    return _photon_prob(point, 1) * (high_2 - low_3) / (point.mus[1] - point.mus[2])


def _scaled(point: DecoyPoint, counts: PerIntensity, k: int, sign: int, eps: float) -> float:
    """Return n_k^+- = exp(mu_k)/p_k [n_k +- sqrt(n/2 ln(1/eps))] (Hoeffding)."""
    margin = sqrt(sum(counts) / 2 * log(1 / eps))
    return exp(point.mus[k]) / point.probs[k] * (counts[k] + sign * margin)


def _photon_prob(point: DecoyPoint, n: int) -> float:
    """Return tau_n, the chance that a pulse of any intensity has n photons."""
    pairs = zip(point.probs, point.mus, strict=True)
    return sum(p * exp(-mu) * mu**n / factorial(n) for p, mu in pairs)


def _sampling_gap(ratio: float, test_size: float, key_size: float, eps: float) -> float:
    """Return gamma(eps, b, c, d): how much worse the key may be than the test sample (eq. 5)."""
    b, c, d = ratio, test_size, key_size
    if b <= 0:
        b = 1 / c  # gamma is 0 * infinity there; one error more than none is a safe stand-in
    both = (c + d) / (c * d)
    odds = both / ((1 - b) * b) / eps**2
    return sqrt(both * (1 - b) * b / log(2) * log2(odds)) if odds > 1 else 0.0
