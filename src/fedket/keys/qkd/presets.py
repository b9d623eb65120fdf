"""Working points with a name.

QuNetQFL (arXiv:2501.12709) reports more than 32.8 kbit/s per pair and does not publish its
hardware. With the model here that figure is what 19.6 dB give at an *assumed* clock of 100 MHz and
1e11 pulse pairs per block (23.4 kbit/s at 21 dB, 37.7 at 19 dB). `CALIBRATED_LOSS_DB` is chosen to
reproduce the figure; it is not the paper's parameter.
"""

from collections.abc import Mapping

from fedket.keys.qkd.bb84 import Bb84Channel, DecoyPoint
from fedket.keys.qkd.bb84 import best_point as best_bb84_point
from fedket.keys.qkd.entropy import transmittance
from fedket.keys.qkd.finite_key import MdiPoint, split_epsilon
from fedket.keys.qkd.finite_key import best_point as best_mdi_point
from fedket.keys.qkd.link import Link, bb84_link, mdi_link
from fedket.keys.qkd.mdi import MdiChannel, symmetric_channel
from fedket.keys.qkd.network import FibreNetwork, Pair
from fedket.keys.qkd.rates import CLOCK_HZ, Protocol

CALIBRATED_LOSS_DB = 19.5
"""Total loss, detectors included, at which the model gives QuNetQFL's reported key rate."""

BLOCK_PULSES = 1e10
"""Pulses per block of a simulated link: 100 s at 100 MHz.

Blocks of 1e11 give 12 % more key per second at 20 dB, after waits of 1000 s."""


def calibrated_link(loss_db: float = CALIBRATED_LOSS_DB, pulses: float = 1e11) -> Link:
    """Return the MDI link calibrated to QuNetQFL's reported key rate, at an assumed 100 MHz."""
    return mdi_link(best_mdi_point(symmetric_channel(loss_db), pulses), CLOCK_HZ)


def optimised_mdi_link(
    arms_db: tuple[float, float], pulses: float = BLOCK_PULSES, clock_hz: float = CLOCK_HZ
) -> Link:
    """Return the best four-phase MDI link for the losses of its two arms, detectors included."""
    channel = MdiChannel(*map(transmittance, arms_db))
    return mdi_link(best_mdi_point(channel, pulses), clock_hz)


def optimised_bb84_link(
    loss_db: float, pulses: float = BLOCK_PULSES, clock_hz: float = CLOCK_HZ
) -> Link:
    """Return the best decoy-state BB84 link for a total loss, detectors included."""
    channel = Bb84Channel(transmittance(loss_db))
    return bb84_link(best_bb84_point(channel, pulses), clock_hz)


def network_links(
    network: FibreNetwork,
    protocol: Protocol = "mdi",
    pulses: float = BLOCK_PULSES,
    clock_hz: float = CLOCK_HZ,
) -> dict[Pair, Link]:
    """Return the optimised link of every pair; pairs with the same losses share one optimisation.

    A BB84 link has no relay: its loss is the sum of the two arms.
    """
    made: dict[tuple[float, float], Link] = {}
    for arms in network.arms_db.values():
        if arms not in made and protocol == "mdi":
            made[arms] = optimised_mdi_link(arms, pulses, clock_hz)
        elif arms not in made:
            made[arms] = optimised_bb84_link(sum(arms), pulses, clock_hz)
    return {pair: made[arms] for pair, arms in network.arms_db.items()}


def pair_rates(network: FibreNetwork, links: Mapping[Pair, Link]) -> dict[Pair, float]:
    """Return the planned key rate of every pair in bit/s, its turns at the relay considered."""
    return {pair: links[pair].planned_rate_bps() / network.relay_mux for pair in network.arms_db}


def lim_2014_point(length_km: float, pulses: float = 1e10) -> DecoyPoint:
    """Return the fixed working point of our specification for Lim et al.'s fibre.

    0.2 dB/km and detectors of 10 %; key basis 90 %, intensities .5/.1/2e-4 at .6/.3/.1.
    """
    channel = Bb84Channel(0.1 * transmittance(0.2 * length_km))
    return DecoyPoint(channel, (0.5, 0.1, 2e-4), (0.6, 0.3, 0.1), 0.9, pulses)


def reference_mdi_point() -> MdiPoint:
    """Return the fixed MDI working point of our specification: 19.4 dB in two equal arms."""
    eta = transmittance(9.7)
    return MdiPoint(MdiChannel(eta, eta), 0.0056, 0.0056, 0.967, 1e11, split_epsilon())
