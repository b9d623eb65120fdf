"""A network of fibres: who shares a link with whom, how lossy it is, and whose turn it is.

All pairs go through one untrusted relay. It can serve one pair at a time, so its time is divided:
`relay_mux` pairs take turns and each gets that part of the rate. 1 means that all pairs are served
at once, by relays or wavelengths of their own. Nodes are parties: clients from 0, the server -1.
"""

from collections.abc import Mapping
from typing import NamedTuple

from fedket.errors import ConfigError
from fedket.keys.qkd import bb84, finite_key
from fedket.keys.qkd.blocks import transmittance
from fedket.keys.qkd.link import Link, bb84_link, mdi_link
from fedket.keys.qkd.mdi import MdiChannel
from fedket.keys.qkd.rates import CLOCK_HZ, Protocol

Pair = tuple[int, int]
"""Two parties, the smaller first."""

BLOCK_PULSES = 1e10
"""Pulses per block of a simulated link: 100 s at 100 MHz.

Blocks of 1e11 give 12 % more key per second at 20 dB, after waits of 1000 s."""


class FibreNetwork(NamedTuple):
    """Links of a network.

    Attributes:
        arms_db: Pair -> loss from each of the two to the relay in dB, detectors included.
        relay_mux: Pairs among which the relay's time is divided, at least 1.
    """

    arms_db: Mapping[Pair, tuple[float, float]]
    relay_mux: int


def ordered(a: int, b: int) -> Pair:
    """Return the link of two parties."""
    return (a, b) if a < b else (b, a)


def link_network(
    losses_db: Mapping[Pair, float | tuple[float, float]], relay_mux: int | None = None
) -> FibreNetwork:
    """Return a network with given links.

    Args:
        losses_db: Pair -> its total loss (the relay in the middle), or the losses of its two arms.
        relay_mux: Pairs that take turns; None means all of them.

    Raises:
        ConfigError: No link, a link of a party with itself or given twice, a negative loss, or a
            bad relay_mux.
    """
    arms: dict[Pair, tuple[float, float]] = {}
    for (a, b), loss in losses_db.items():
        both = loss if isinstance(loss, tuple) else (loss / 2, loss / 2)
        if a == b or ordered(a, b) in arms or not min(both) >= 0:
            raise ConfigError(
                f"a link joins two parties, is given once and loses 0 dB or more; got {a}-{b} with "
                f"{loss} dB"
            )
        arms[ordered(a, b)] = both if a < b else both[::-1]
    mux = len(arms) if relay_mux is None else relay_mux
    if not arms or mux < 1:
        raise ConfigError(
            f"a network has 1 or more links and relay_mux is 1 or more; got {len(arms)} links and "
            f"relay_mux {mux}"
        )
    return FibreNetwork(arms, mux)


def optimised_link(
    arms_db: tuple[float, float],
    protocol: Protocol = "mdi",
    pulses: float = BLOCK_PULSES,
    clock_hz: float = CLOCK_HZ,
) -> Link:
    """Return the link with the longest key for the losses of its two arms, detectors included.

    A BB84 link has no relay: its loss is the sum of the two arms.
    """
    if protocol == "bb84":
        channel = bb84.Bb84Channel(transmittance(sum(arms_db)))
        return bb84_link(bb84.best_point(channel, pulses), clock_hz)
    arms = MdiChannel(*map(transmittance, arms_db))
    return mdi_link(finite_key.best_point(arms, pulses), clock_hz)


def network_links(
    network: FibreNetwork,
    protocol: Protocol = "mdi",
    pulses: float = BLOCK_PULSES,
    clock_hz: float = CLOCK_HZ,
) -> dict[Pair, Link]:
    """Return the optimised link of every pair; pairs with the same losses share one."""
    distinct = dict.fromkeys(network.arms_db.values())
    made = {arms: optimised_link(arms, protocol, pulses, clock_hz) for arms in distinct}
    return {pair: made[arms] for pair, arms in network.arms_db.items()}


def pair_rates(network: FibreNetwork, links: Mapping[Pair, Link]) -> dict[Pair, float]:
    """Return the planned key rate of every pair in bit/s, its turns at the relay considered."""
    distinct = {id(link): link for link in links.values()}  # thousands of pairs share one
    rates = {name: link.planned_rate_bps() for name, link in distinct.items()}
    return {pair: rates[id(links[pair])] / network.relay_mux for pair in network.arms_db}
