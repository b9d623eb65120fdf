"""A network of fibres: who shares a link with whom, how lossy it is, and whose turn it is.

All pairs go through one untrusted relay. It can serve one pair at a time, so its time is divided:
`relay_mux` pairs take turns and each gets that part of the rate. 1 means that all pairs are served
at once, by relays or wavelengths of their own. Nodes are parties: clients from 0, the server -1.
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fedket.errors import ConfigError

Pair = tuple[int, int]
"""Two parties, the smaller first."""

DB_PER_KM = 0.2
"""Loss of standard fibre at 1550 nm."""


class FibreNetwork(NamedTuple):
    """Links of a network.

    Attributes:
        arms_db: Pair -> loss from each of the two to the relay in dB, detectors included.
        relay_mux: Pairs among which the relay's time is divided, at least 1.
    """

    arms_db: Mapping[Pair, tuple[float, float]]
    relay_mux: int

    @property
    def nodes(self) -> tuple[int, ...]:
        """All parties, ascending."""
        return tuple(sorted({node for pair in self.arms_db for node in pair}))


def ordered(a: int, b: int) -> Pair:
    """Return the link of two parties."""
    return (a, b) if a < b else (b, a)


def fibre_loss(length_km: float, db_per_km: float = DB_PER_KM, extra_db: float = 0.0) -> float:
    """Return the loss of a fibre in dB; `extra_db` is for connectors and detectors.

    Raises:
        ConfigError: Something is negative.
    """
    if min(length_km, db_per_km, extra_db) < 0:
        raise ConfigError(
            f"length and losses are 0 or more, got {length_km} km, {db_per_km} dB/km and "
            f"{extra_db} dB"
        )
    return length_km * db_per_km + extra_db


def uniform_network(
    nodes: Iterable[int], loss_db: float, relay_mux: int | None = None
) -> FibreNetwork:
    """Return a network in which every pair has the same loss, the relay in the middle.

    Args:
        nodes: The parties; every two of them share a link.
        loss_db: Total loss of a link, detectors included.
        relay_mux: Pairs that take turns; None means all of them.

    Raises:
        ConfigError: Fewer than two parties, a party twice, or a bad loss or relay_mux.
    """
    return star_network(dict.fromkeys(_distinct(nodes), loss_db / 2), relay_mux)


def star_network(arm_db: Mapping[int, float], relay_mux: int | None = None) -> FibreNetwork:
    """Return a network in which every party has one fibre to the relay.

    Args:
        arm_db: Party -> loss to the relay, detectors included.
        relay_mux: Pairs that take turns; None means all of them.

    Raises:
        ConfigError: Fewer than two parties, a negative loss, or a bad relay_mux.
    """
    pairs = list(itertools.combinations(sorted(arm_db), 2))
    return link_network({(a, b): (arm_db[a], arm_db[b]) for a, b in pairs}, relay_mux)


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


def _distinct(nodes: Iterable[int]) -> list[int]:
    listed = list(nodes)
    if len(set(listed)) < len(listed):
        raise ConfigError(f"every party of a network is named once, got {listed}")
    return listed
