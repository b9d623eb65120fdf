"""Four-phase MDI-QKD with finitely many pulses, secure against coherent attacks.

The errors counted in the test basis become an expectation (Kato), the joint bound turns that into
expected phase errors of the key basis, Kato's other direction turns those into a count:

    l = n_x [1 - h(E_p)] - leak - log2(2/eps_cor) - 2 log2(1/(2 eps_PA)),

with leak = f h(e_x) n_x when planning and the parities really disclosed afterwards. Pulses are
counted in pairs (one of Alice's, one of Bob's).
"""

from collections.abc import Sequence
from math import exp, log, log2
from typing import NamedTuple

from fedket.errors import ConfigError
from fedket.keys.qkd.blocks import Counts, KeyLength, binary_entropy
from fedket.keys.qkd.kato import count_at_most, expected_at_most
from fedket.keys.qkd.mdi import (
    MdiChannel,
    balanced,
    best_intensities,
    clicks,
    overlap,
    phase_errors_per_pulse,
)
from fedket.keys.qkd.search import lowest_for_block


class Epsilons(NamedTuple):
    """How likely a block's key may fail to be perfect, by cause.

    Attributes:
        kato: Failure of each of the two steps of the phase error estimate.
        amplification: eps_PA of privacy amplification.
        correctness: eps_cor, chance that the two ends' keys differ.
    """

    kato: float
    amplification: float
    correctness: float


def split_epsilon(secrecy: float = 1e-10, correctness: float = 1e-15) -> Epsilons:
    """Share eps_sec out in four equal parts: two for Kato's steps, two for amplification.

    This adds failure probabilities up linearly, as our specification does. Proofs in which the
    square root of the estimate's failure counts as distance from a perfect key want
    `kato = (secrecy / 4)**2` instead; at 1e11 pulses and 19 dB that takes 3 % of the key.

    Raises:
        ConfigError: A parameter is not between 0 and 1.
    """
    if not (0 < secrecy < 1 and 0 < correctness < 1):
        raise ConfigError(
            f"security parameters lie between 0 and 1, got eps_sec {secrecy} and eps_cor "
            f"{correctness}; usual values are 1e-10 and 1e-15"
        )
    return Epsilons(secrecy / 4, secrecy / 4, correctness)


class MdiPoint(NamedTuple):
    """A working point of a link: what both ends agree on before a block.

    Attributes:
        channel: The channel as calibrated.
        mu_a: Alice's intensity.
        mu_b: Bob's intensity.
        p_x: Probability of the key basis, at both ends.
        pulses: Pulse pairs N per block.
        epsilons: Security parameters of a block.
    """

    channel: MdiChannel
    mu_a: float
    mu_b: float
    p_x: float
    pulses: float
    epsilons: Epsilons


def phase_error_at_most(point: MdiPoint, num_raw: float, test_errors: float) -> float:
    """Return the bound on the phase error of `num_raw` key bits, from counted test errors.

    The slopes in Kato's inequality are best for the planned counts: they are fixed before the
    block, as the theorem wants it.
    """
    if num_raw <= 0:
        return 0.5
    planned = sum(expected_counts(point).test_errors)
    kato = point.epsilons.kato
    planned_count = count_at_most(point.pulses, _expected(point, planned, planned), kato)
    expected = _expected(point, test_errors, planned)
    return min(0.5, count_at_most(point.pulses, expected, kato, planned_count) / num_raw)


def _expected(point: MdiPoint, test_errors: float, planned: float) -> float:
    """Return a bound on the expected phase errors of the key basis."""
    both_test = point.pulses * (1 - point.p_x) ** 2
    errors = expected_at_most(point.pulses, test_errors, point.epsilons.kato, planned)
    per_pulse = min(1.0, errors / both_test)
    f = overlap(point.mu_a, point.mu_b)
    return point.pulses * point.p_x**2 * phase_errors_per_pulse(per_pulse, f)


def key_length(point: MdiPoint, counts: Counts, leak_bits: float) -> KeyLength:
    """Return the key of a block.

    Args:
        point: What was agreed on before.
        counts: The block's counters, one intensity.
        leak_bits: Bits disclosed by error correction.
    """
    eps_cor, eps_pa = point.epsilons.correctness, point.epsilons.amplification
    bound = phase_error_at_most(point, counts.num_raw, sum(counts.test_errors))
    overhead = log2(2 / eps_cor) + 2 * log2(1 / (2 * eps_pa))
    bits = counts.num_raw * (1 - binary_entropy(bound)) - leak_bits - overhead
    return KeyLength(bits, bound)


def expected_counts(point: MdiPoint) -> Counts:
    """Return the expectation of a block's counters."""
    gain, error = clicks(point.channel, point.mu_a, point.mu_b)
    in_x, in_y = (point.pulses * p**2 * gain for p in (point.p_x, 1 - point.p_x))
    return Counts((in_x,), (in_x * error,), (in_y,), (in_y * error,))


def planned_key(point: MdiPoint, efficiency: float = 1.16) -> KeyLength:
    """Return the key of a block whose counts are the expected ones; leak f h(e) n_x."""
    counts = expected_counts(point)
    leak = efficiency * counts.num_raw * binary_entropy(counts.key_error)
    return key_length(point, counts, leak)


def best_point(
    channel: MdiChannel,
    pulses: float,
    epsilons: Epsilons | None = None,
    efficiency: float = 1.16,
) -> MdiPoint:
    """Return the working point with the longest key: optimised over mu and p_x.

    Raises:
        ConfigError: Fewer than 1 pulse.
    """
    if not pulses >= 1:
        raise ConfigError(f"a block has 1 or more pulses, got {pulses}; 1e9 to 1e12 is usual")
    budget = epsilons or split_epsilon()

    def point_at(logs: Sequence[float], size: float) -> MdiPoint:
        mu_a, mu_b = balanced(channel, exp(logs[0]))
        return MdiPoint(channel, mu_a, mu_b, 1 - exp(min(logs[1], -1e-6)), size, budget)

    def loss(logs: Sequence[float], size: float) -> float:
        scale = size * channel.eta_a * channel.eta_b
        return -planned_key(point_at(logs, size), efficiency).bits / scale

    start = min(best_intensities(channel, efficiency=efficiency))
    return point_at(lowest_for_block(loss, (log(start), log(0.03)), pulses), pulses)
