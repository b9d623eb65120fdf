"""Key rate against loss, every point at its own best working point. All of it is a model."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from fedket.errors import ConfigError
from fedket.keys.qkd import bb84, finite_key
from fedket.keys.qkd.blocks import KeyLength, transmittance
from fedket.keys.qkd.mdi import (
    Bound,
    asymptotic_rate,
    best_intensities,
    clicks,
    phase_error,
    symmetric_channel,
)

Protocol = Literal["mdi", "bb84"]

CLOCK_HZ = 1e8
"""Pulses per second wherever nothing else is said: an assumption."""


class RatePoint(NamedTuple):
    """One point of a curve.

    Attributes:
        loss_db: Total loss from sender to receiver, detectors included.
        rate_bps: Key rate, 0 where there is no key.
        error: Error rate of the raw bits at the working point; None where there is no key.
        phase_error: Bound on the phase error; likewise.
        mu: Intensity of the (signal) pulses at each sender; likewise.
        p_key: Probability of the key basis; likewise.
    """

    loss_db: float
    rate_bps: float
    error: float | None
    phase_error: float | None
    mu: float | None
    p_key: float | None


class Curve(NamedTuple):
    """Key rate of a protocol.

    Attributes:
        protocol: `mdi` (four-phase MDI-QKD, the relay in the middle) or `bb84` (decoy states).
        pulses: Pulses per block; None for the asymptotic rate.
        bound: Which bound on the phase error; decoy BB84 has one of its own.
        points: By loss.
    """

    protocol: Protocol
    pulses: float | None
    bound: str
    points: list[RatePoint]


def rate_curve(
    protocol: Protocol,
    losses_db: Sequence[float],
    *,
    pulses: float | None = None,
    clock_hz: float = CLOCK_HZ,
    bound: Bound = "joint",
) -> Curve:
    """Return key rates, optimised over intensities and basis probability at every loss.

    Args:
        protocol: Which protocol.
        losses_db: Total losses, each 0 or more.
        pulses: Pulses per block; None for infinitely many.
        clock_hz: Pulses per second.
        bound: Bound on the phase error of the asymptotic MDI rate.

    Raises:
        ConfigError: A number is out of range, or the coin bound is asked for finite blocks.
    """
    if not clock_hz > 0:
        raise ConfigError(f"a clock runs at more than 0 Hz, got {clock_hz}; 1e8 is 100 MHz")
    if bound == "coin" and (pulses is not None or protocol == "bb84"):
        raise ConfigError(
            "the coin bound is for the asymptotic rate of MDI-QKD only; leave the block size out, "
            "or use the joint bound"
        )
    points = []
    for loss in losses_db:
        if protocol == "bb84":
            points.append(_bb84_point(loss, pulses, clock_hz))
        elif pulses is None:
            points.append(_asymptotic_mdi_point(loss, clock_hz, bound))
        else:
            points.append(_finite_mdi_point(loss, pulses, clock_hz))
    return Curve(protocol, pulses, bound if protocol == "mdi" else "decoy", points)


def _asymptotic_mdi_point(loss_db: float, clock_hz: float, bound: Bound) -> RatePoint:
    channel = symmetric_channel(loss_db)
    mu_a, mu_b = best_intensities(channel, bound=bound)
    key = KeyLength(
        asymptotic_rate(channel, mu_a, mu_b, bound=bound), phase_error(channel, mu_a, mu_b, bound)
    )
    return _point(loss_db, key, clock_hz, clicks(channel, mu_a, mu_b).error, mu_a, 1.0)


def _finite_mdi_point(loss_db: float, pulses: float, clock_hz: float) -> RatePoint:
    point = finite_key.best_point(symmetric_channel(loss_db), pulses)
    error = finite_key.expected_counts(point).key_error
    key = finite_key.planned_key(point)
    return _point(loss_db, key, clock_hz / pulses, error, point.mu_a, point.p_x)


def _bb84_point(loss_db: float, pulses: float | None, clock_hz: float) -> RatePoint:
    channel = bb84.Bb84Channel(transmittance(loss_db))
    if pulses is None:
        mu = bb84.best_asymptotic_mu(channel)
        gain, wrong = bb84.clicks_per_pulse(channel, mu)
        key = bb84.asymptotic_key(channel, mu)
        return _point(loss_db, key, clock_hz, wrong / gain, mu, 1.0)
    point = bb84.best_point(channel, pulses)
    error = bb84.expected_counts(point).key_error
    key = bb84.planned_key(point)
    return _point(loss_db, key, clock_hz / pulses, error, point.mus[0], point.q_x)


def _point(
    loss_db: float, key: KeyLength, per_second: float, error: float, mu: float, p_key: float
) -> RatePoint:
    if key.bits <= 0:
        return RatePoint(loss_db, 0.0, None, None, None, None)
    return RatePoint(loss_db, key.bits * per_second, error, key.phase_error, mu, p_key)
