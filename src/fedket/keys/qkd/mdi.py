"""Four-phase measurement-device-independent QKD with coherent states: clicks, phase error, rate.

Alice and Bob send sqrt(mu)*exp(i*phi): phi in {0, pi} in the key basis X, {pi/2, 3pi/2} in the
test basis Y. An untrusted relay lets them interfere and announces which one of its two detectors
clicked; a double click counts as none (the protocol family of QuNetQFL, arXiv:2501.12709; formulas
as in Tamaki et al., PRA 85, 042307 (2012), and Currás-Lorenzo et al., npj Quantum Inf. 7, 22
(2021)).

eta_a, eta_b are the arms' transmittances, detectors included; mu is in photons per pulse, rates in
bits per pulse pair. This is a model of the physics, not a measurement: every figure is simulated.
"""

from math import cos, exp, log, sin, sqrt
from typing import Literal, NamedTuple

from fedket.keys.qkd.blocks import binary_entropy, transmittance
from fedket.keys.qkd.search import lowest_between

Bound = Literal["joint", "coin"]


class MdiChannel(NamedTuple):
    """From both senders to the relay.

    Attributes:
        eta_a: Transmittance of Alice's arm, detector included, in (0, 1].
        eta_b: Transmittance of Bob's arm.
        dark_prob: Chance of a dark count per detector and pulse.
        visibility: Visibility of the interference, 0..1.
    """

    eta_a: float
    eta_b: float
    dark_prob: float = 1e-8
    visibility: float = 0.99


class Clicks(NamedTuple):
    """What the relay announces for pulses of one basis.

    Attributes:
        gain: Chance Q of a single click per pulse pair.
        error: Share e of clicks in the wrong detector.
    """

    gain: float
    error: float


def symmetric_channel(
    loss_db: float, dark_prob: float = 1e-8, visibility: float = 0.99
) -> MdiChannel:
    """Return a channel with the relay in the middle of a total loss, detectors included."""
    eta = sqrt(transmittance(loss_db))
    return MdiChannel(eta, eta, dark_prob, visibility)


def clicks(channel: MdiChannel, mu_a: float, mu_b: float) -> Clicks:
    """Return gain and error at equal phases; both bases behave alike.

    s+- = (eta_a mu_a + eta_b mu_b)/2 +- V sqrt(eta_a mu_a eta_b mu_b), p+- = 1 - (1-p_d)exp(-s+-).
    """
    arrived_a, arrived_b = channel.eta_a * mu_a, channel.eta_b * mu_b
    mean = (arrived_a + arrived_b) / 2
    swing = channel.visibility * sqrt(arrived_a * arrived_b)
    bright = 1 - (1 - channel.dark_prob) * exp(-mean - swing)
    dim = 1 - (1 - channel.dark_prob) * exp(-mean + swing)
    right, wrong = bright * (1 - dim), dim * (1 - bright)
    return Clicks(right + wrong, wrong / (right + wrong) if wrong > 0 else 0.0)


def overlap(mu_a: float, mu_b: float, side_channel: float = 0.0) -> float:
    """Return F, how alike the two bases look: F1(mu_a)*F1(mu_b), F1 = exp(-mu)(cos mu + sin mu).

    Args:
        mu_a: Alice's intensity, 0..pi/2.
        mu_b: Bob's intensity.
        side_channel: Loss of overlap per party by everything else that tells bases apart, 0..1.
    """
    factor = 1 - side_channel
    alice = exp(-mu_a) * (cos(mu_a) + sin(mu_a)) * factor
    return alice * exp(-mu_b) * (cos(mu_b) + sin(mu_b)) * factor


def phase_errors_per_pulse(test_errors: float, f: float) -> float:
    """Return G+, the most phase errors per key-basis pulse pair (the joint bound).

    Args:
        test_errors: P_y, test-basis errors per test-basis pulse pair.
        f: Overlap F of the bases.
    """
    p, f2 = test_errors, f * f
    if p >= f2:
        return 1.0
    return p + (1 - f2) * (1 - 2 * p) + 2 * f * sqrt((1 - f2) * p * (1 - p))


def joint_phase_error(test: Clicks, f: float) -> float:
    """Return the phase error of the clicks, at most 1/2, from the joint bound G+/Q."""
    if test.gain <= 0:
        return 0.5
    return min(0.5, phase_errors_per_pulse(test.error * test.gain, f) / test.gain)


def coin_phase_error(test: Clicks, f: float) -> float:
    """Return the phase error, at most 1/2, from the imbalance of a quantum coin.

    Delta = (1-F)/(2Q) (Lo and Preskill 2007; Tamaki et al. 2012, eq. 5). Tighter than the joint
    bound, but known here for the asymptotic case only.
    """
    if test.gain <= 0:
        return 0.5
    e, delta = test.error, (1 - f) / (2 * test.gain)
    if delta >= 0.5:
        return 0.5
    root = sqrt(delta * (1 - delta) * e * (1 - e))
    return min(0.5, e + 4 * delta * (1 - delta) * (1 - 2 * e) + 4 * (1 - 2 * delta) * root)


def phase_error(channel: MdiChannel, mu_a: float, mu_b: float, bound: Bound = "joint") -> float:
    """Return the phase error that one of the two bounds allows, without statistics."""
    test, f = clicks(channel, mu_a, mu_b), overlap(mu_a, mu_b)
    return joint_phase_error(test, f) if bound == "joint" else coin_phase_error(test, f)


def asymptotic_rate(
    channel: MdiChannel,
    mu_a: float,
    mu_b: float,
    *,
    p_x: float = 1.0,
    efficiency: float = 1.16,
    bound: Bound = "joint",
) -> float:
    """Return R = p_x^2 Q [1 - h(E_p) - f h(e)]; negative where there is no key.

    Args:
        channel: The channel.
        mu_a: Alice's intensity.
        mu_b: Bob's intensity.
        p_x: Probability of the key basis.
        efficiency: f, disclosed bits of error correction over the Shannon limit.
        bound: Which bound on the phase error.
    """
    seen = clicks(channel, mu_a, mu_b)
    secret = 1 - binary_entropy(phase_error(channel, mu_a, mu_b, bound))
    return p_x**2 * seen.gain * (secret - efficiency * binary_entropy(seen.error))


def balanced(channel: MdiChannel, mu: float) -> tuple[float, float]:
    """Return (mu_a, mu_b) that arrive equally bright, with `mu` at the shorter arm."""
    if channel.eta_a >= channel.eta_b:
        return mu, mu * channel.eta_a / channel.eta_b
    return mu * channel.eta_b / channel.eta_a, mu


def best_intensities(
    channel: MdiChannel, *, efficiency: float = 1.16, bound: Bound = "joint"
) -> tuple[float, float]:
    """Return the balanced (mu_a, mu_b) with the best asymptotic rate, near .054 eta if equal."""

    def loss(log_mu: float) -> float:
        mu_a, mu_b = balanced(channel, exp(log_mu))
        return -asymptotic_rate(channel, mu_a, mu_b, efficiency=efficiency, bound=bound) / scale

    shorter, longer = max(channel[:2]), min(channel[:2])
    scale = shorter * longer
    # The longer arm's intensity limits the overlap; there the best value is about .05 eta.
    typical = log(longer**2 / shorter)
    return balanced(channel, exp(lowest_between(loss, typical + log(1e-3), typical + log(0.3))))
