"""Who shares pads with whom: the complete graph, or a k-regular ring of neighbours.

The k-regular graph (Harary graph H_{k,n}, k even) puts the n clients on a ring and joins each to
the k/2 clients on either side. A server together with some clients learns more than one sum
exactly when the rest, the honest clients that are in the sum, fall into several components: one
sum per component. On the ring that takes two gaps of k/2 or more neighbours that are bad (they
collude, or dropped out before READY), so the order on the ring has to be out of their hands.

Order and adversary. Clients are sorted by a hash of a public `seed` and their id. The seed must be
drawn after the cohort is fixed, and nobody who would gain from a choice may choose it; then bad
clients sit at random places and `smallest_degree` bounds the failure. Reservations are made along
the edges of this graph, so it is drawn *before* RESERVE: drawing it afterwards would need key on
every edge that might be chosen, n - 1 per client instead of k. What is bounded: clients that
decided to collude, or lost their connection, before they knew the seed. What is not: clients that
are bribed once the seed is known, and a server that chooses who "dropped out" by the graph.
Simulation takes the seed from the run's seed and the round. In a deployment with an honest but
curious server the server draws it (32 bytes of the OS generator) once the cohort is fixed; where
the server may lie, all clients commit to random values first and the seed is the hash of all of
them, opened after the last commitment, or it comes from a public beacon.
"""

import hashlib
import math
from collections.abc import Collection
from fractions import Fraction
from functools import lru_cache
from typing import Literal, NamedTuple

from fedket.errors import ConfigError

Degree = int | Literal["auto"] | None

COMPLETE_UP_TO = 20
"""Cohorts up to this size get the complete graph when the degree is "auto"."""

FAILURE = Fraction(1, 2**40)


class Graph(NamedTuple):
    """Clients on a ring, each joined to those within `reach` steps either way.

    Attributes:
        ring: Client ids.
        reach: Steps; len(ring) // 2 makes the graph complete.
        links: Pairs that are joined, the smaller first, whatever their places; None for `reach`.
    """

    ring: tuple[int, ...]
    reach: int
    links: frozenset[tuple[int, int]] | None = None


@lru_cache(maxsize=8)
def make_graph(cohort: tuple[int, ...], degree: int, seed: bytes) -> Graph:
    """Return the graph of a cohort; everybody who knows the arguments gets the same.

    Args:
        cohort: Client ids, ascending.
        degree: Neighbours of each client: even, or len(cohort) - 1 for the complete graph.
        seed: Public randomness, see the module; the complete graph does not depend on it.

    Raises:
        ConfigError: No such degree.
    """
    check_degree(degree, len(cohort))
    if degree == len(cohort) - 1:
        return Graph(cohort, len(cohort) // 2)
    return Graph(tuple(sorted(cohort, key=lambda i: _lot(seed, i))), degree // 2)


@lru_cache(maxsize=1024)
def neighbours(graph: Graph, client_id: int) -> tuple[int, ...]:
    """Return the clients joined to one of the ring, in ascending order."""
    if graph.links is not None:
        return tuple(
            sorted({i for link in graph.links if client_id in link for i in link} - {client_id})
        )
    ring, place = graph.ring, graph.ring.index(client_id)
    steps = range(1, graph.reach + 1)
    near = {ring[(place + sign * step) % len(ring)] for step in steps for sign in (1, -1)}
    return tuple(sorted(near - {client_id}))


def num_edges(num_clients: int, degree: int) -> int:
    """Return the pairs that share a pad."""
    return num_clients * degree // 2


def is_connected(graph: Graph, members: Collection[int]) -> bool:
    """Say whether the masks of some clients of the graph hide all but their one sum.

    On a ring they fall apart exactly when two gaps of `reach` or more clients are left out.
    """
    present = set(members)
    if graph.links is not None:
        return _are_joined(graph.links, present)
    places = [place for place, client_id in enumerate(graph.ring) if client_id in present]
    following = places[1:] + [place + len(graph.ring) for place in places[:1]]
    wide = [b - a > graph.reach for a, b in zip(places, following, strict=True)]
    return sum(wide) < 2


def _are_joined(links: Collection[tuple[int, int]], present: set[int]) -> bool:
    """Say whether there is a way along links from any of some clients to any other."""
    left, edge = set(present), {min(present)}
    while edge:
        left -= edge
        edge = {i for link in links if edge.intersection(link) for i in link} & left
    return not left


def choose_degree(degree: Degree, num_clients: int, corrupt_fraction: float = 1 / 3) -> int:
    """Return the number of neighbours that a setting means.

    Args:
        degree: None for the complete graph, a number for that many neighbours, or "auto" for the
            complete graph up to `COMPLETE_UP_TO` clients and `smallest_degree` beyond.
        num_clients: Size of the cohort.
        corrupt_fraction: Largest fraction of bad clients that "auto" provides for.

    Raises:
        ConfigError: An odd or too small number, or a fraction out of range.
    """
    complete = num_clients - 1
    if degree == "auto":
        if num_clients <= COMPLETE_UP_TO:
            return complete
        return smallest_degree(num_clients, corrupt_fraction)
    if degree is None or degree >= complete:
        return complete
    check_degree(degree, num_clients)
    return degree


def check_degree(degree: int, num_clients: int) -> None:
    """Raise `ConfigError` unless a graph of this degree exists here."""
    if degree != num_clients - 1 and not (degree % 2 == 0 and 2 <= degree < num_clients):
        raise ConfigError(
            f"each of {num_clients} clients can share pads with an even number of others, or with "
            f'all {num_clients - 1}; got degree {degree}; "auto" chooses one'
        )


@lru_cache(maxsize=64)
def smallest_degree(num_clients: int, corrupt_fraction: float) -> int:
    """Return the least even degree whose failure probability is at most 2^-40.

    Args:
        num_clients: Size of the cohort (n).
        corrupt_fraction: Clients that collude or drop out before READY, as a fraction in [0, 1);
            their number is rounded up.

    Returns:
        The degree, n - 1 when no smaller one is enough.

    Raises:
        ConfigError: The fraction is out of range.
    """
    if not 0 <= corrupt_fraction < 1:
        raise ConfigError(
            f"corrupt_fraction should be at least 0 and less than 1, got {corrupt_fraction}"
        )
    num_bad = math.ceil(num_clients * corrupt_fraction - 1e-9)
    for degree in range(2, num_clients - 1, 2):
        if failure_probability(num_clients, num_bad, degree) <= FAILURE:
            return degree
    return num_clients - 1


def failure_probability(num_clients: int, num_bad: int, degree: int) -> Fraction:
    """Return the exact probability that the honest clients fall into several components.

    The bad ones sit at random places of the ring, so the gaps between the h = n - b honest ones
    are a uniformly random way to write b as an ordered sum of h numbers >= 0. With m = k/2 the
    probability that at least two gaps are >= m is, by inclusion and exclusion,

        sum_{j>=2} (-1)^j (j-1) C(h, j) C(b - j*m + h - 1, h - 1) / C(b + h - 1, h - 1).

    A client whose k neighbours are all bad is one of these cases. Bell et al. 2020 (ePrint
    2020/704, section 3) bound the same event for random graphs; on the ring it can be counted.

    Args:
        num_clients: n.
        num_bad: b.
        degree: k, even.
    """
    honest, reach = num_clients - num_bad, degree // 2
    ways = sum(
        (-1) ** j * (j - 1) * math.comb(honest, j) * _compositions(num_bad - j * reach, honest)
        for j in range(2, min(honest, num_bad // reach) + 1)
    )
    return Fraction(ways, _compositions(num_bad, honest)) if honest else Fraction(0)


def _compositions(total: int, parts: int) -> int:
    """Return the ways to write `total` >= 0 as an ordered sum of `parts` numbers >= 0."""
    return math.comb(total + parts - 1, parts - 1)


def _lot(seed: bytes, client_id: int) -> bytes:
    """Return a client's place in the order: a hash, so that all platforms agree."""
    return hashlib.sha256(b"fedket graph" + seed + client_id.to_bytes(8, "little")).digest()
