"""Undirected graphs of clients, and the weights with which neighbours average.

Weights are Metropolis-Hastings (Xiao and Boyd 2004, section 4.2): W_ij = 1 / (1 + max(d_i, d_j))
for neighbours i and j of degrees d_i and d_j, W_ii = 1 - sum_j W_ij. W is symmetric and doubly
stochastic, so averaging keeps the mean, and it takes each client no more to know than its own
degree and those of its neighbours.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fedket.errors import ConfigError

if TYPE_CHECKING:  # it takes long to import, and most experiments have no graph
    import scipy.sparse

Pair = tuple[int, int]
"""Two clients, the smaller first."""

DENSE_UP_TO = 500
"""Clients up to which eigenvalues are taken of a dense matrix."""

ATTEMPTS = 200
"""Draws of a random graph before one is given up."""


class Topology(NamedTuple):
    """A connected graph.

    Attributes:
        num_clients: Clients, from 0.
        edges: Pairs of neighbours, ascending.
        name: What it is, in words.
    """

    num_clients: int
    edges: tuple[Pair, ...]
    name: str = "graph"


def make_topology(num_clients: int, edges: Iterable[Pair], name: str = "graph") -> Topology:
    """Return a checked graph.

    Raises:
        ConfigError: An edge joins a client with itself, is given twice or names a client that there
            is not, or some clients cannot reach others.
    """
    from scipy.sparse.csgraph import connected_components

    if num_clients < 2:
        raise ConfigError(f"a graph joins 2 or more clients, got {num_clients}")
    seen: set[Pair] = set()
    for a, b in edges:
        pair = (min(a, b), max(a, b))
        if a == b or pair in seen or pair[0] < 0 or pair[1] >= num_clients:
            what = "joins a client with itself" if a == b else "is given twice"
            what = what if a == b or pair in seen else f"names none of 0 to {num_clients - 1}"
            raise ConfigError(f"edge {a}-{b} {what}; an edge joins two clients, once")
        seen.add(pair)
    topology = Topology(num_clients, tuple(sorted(seen)), name)
    parts, label = connected_components(_adjacency(topology), directed=False)
    if parts > 1:
        far = int(np.flatnonzero(label != label[0])[0])
        raise ConfigError(
            f"the graph is not connected: client {far} cannot be reached from client 0 "
            f"({parts} parts); add edges between them"
        )
    return topology


def ring(num_clients: int, reach: int = 1) -> Topology:
    """Each client and those up to `reach` places to either side.

    Raises:
        ConfigError: The ring is too small for the reach.
    """
    if not 1 <= reach <= num_clients // 2:
        raise ConfigError(
            f"a ring of {num_clients} clients takes a reach of 1 to {num_clients // 2}, got {reach}"
        )
    steps = range(1, reach + 1)
    pairs = {_pair(i, (i + s) % num_clients) for i in range(num_clients) for s in steps}
    return make_topology(num_clients, pairs, "ring" if reach == 1 else f"ring of reach {reach}")


def torus(num_clients: int, rows: int = 0) -> Topology:
    """A grid whose edges are joined, each client and the four around it.

    Args:
        num_clients: rows · columns.
        rows: 0 makes it as square as it can be.

    Raises:
        ConfigError: There is no such grid of two or more rows and columns.
    """
    sizes = [r for r in range(2, num_clients // 2 + 1) if num_clients % r == 0]
    chosen = rows or max((r for r in sizes if r * r <= num_clients), default=0)
    if chosen not in sizes:
        raise ConfigError(
            f"{num_clients} clients do not make a torus of {rows or 'equal'} rows, two or more, "
            f"and two or more columns; {f'use {sizes} rows' if sizes else 'use a ring'}"
        )
    columns = num_clients // chosen
    cells = [(r, c) for r in range(chosen) for c in range(columns)]
    right = {_pair(r * columns + c, r * columns + (c + 1) % columns) for r, c in cells}
    down = {_pair(r * columns + c, (r + 1) % chosen * columns + c) for r, c in cells}
    return make_topology(num_clients, right | down, f"torus of {chosen} × {columns}")


def complete(num_clients: int) -> Topology:
    """Everybody with everybody: one mixing gives all the mean."""
    pairs = [(i, j) for i in range(num_clients) for j in range(i + 1, num_clients)]
    return make_topology(num_clients, pairs, "complete graph")


def random_regular(num_clients: int, degree: int, rng: np.random.Generator) -> Topology:
    """A random connected graph in which each client has `degree` neighbours.

    Stubs are paired at random (Steger and Wormald 1999); a draw that ends with stubs that do not
    fit, or in several parts, is drawn again.

    Raises:
        ConfigError: There is no such graph.
    """
    possible = 2 <= degree < num_clients and degree * num_clients % 2 == 0
    if not possible and (num_clients, degree) != (2, 1):
        raise ConfigError(
            f"each of {num_clients} clients cannot have {degree} neighbours in a connected graph: "
            f"use 2 to {num_clients - 1}, with clients × degree even"
        )
    for _ in range(ATTEMPTS):
        edges = _paired(num_clients, degree, rng)
        try:
            return make_topology(num_clients, edges, f"random {degree}-regular graph")
        except ConfigError:
            continue
    raise ConfigError(
        f"no connected graph of {num_clients} clients with {degree} neighbours each was found in "
        f"{ATTEMPTS} draws; use another degree or seed"
    )


def _paired(num_clients: int, degree: int, rng: np.random.Generator) -> set[Pair]:
    """Edges of a random graph; too few of them if the last stubs do not fit."""
    edges: set[Pair] = set()
    stubs = np.repeat(np.arange(num_clients), degree)
    for _ in range(ATTEMPTS):
        rng.shuffle(stubs)
        left = []
        for a, b in stubs.reshape(-1, 2).tolist():
            if a == b or _pair(a, b) in edges:
                left += [a, b]
            else:
                edges.add(_pair(a, b))
        stubs = np.array(left, dtype=int)
        if not left:
            return edges
    return set()


def _pair(a: int, b: int) -> Pair:
    return (a, b) if a < b else (b, a)


@lru_cache(maxsize=8)
def neighbours(topology: Topology) -> tuple[tuple[int, ...], ...]:
    """Return the neighbours of each client, ascending."""
    near: list[list[int]] = [[] for _ in range(topology.num_clients)]
    for a, b in topology.edges:
        near[a].append(b)
        near[b].append(a)
    return tuple(tuple(sorted(own)) for own in near)


@lru_cache(maxsize=8)
def mixing_matrix(topology: Topology, absent: tuple[int, ...] = ()) -> "scipy.sparse.csr_array":
    """Return the Metropolis-Hastings weights W, shape (clients, clients).

    Args:
        topology: The graph.
        absent: Clients that are not there this time: their edges fall away, and W keeps the mean of
            all none the less.
    """
    from scipy.sparse import csr_array

    gone = set(absent)
    edges = tuple(e for e in topology.edges if not gone.intersection(e))
    adjacency = _adjacency(topology._replace(edges=edges)).tocoo()
    degrees = np.bincount(adjacency.row, minlength=topology.num_clients)
    larger = np.maximum(degrees[adjacency.row], degrees[adjacency.col])
    shape = (topology.num_clients, topology.num_clients)
    off = csr_array((1 / (1 + larger), (adjacency.row, adjacency.col)), shape=shape)
    places = np.arange(topology.num_clients)
    own: scipy.sparse.csr_array = csr_array((1 - off.sum(axis=1), (places, places)), shape=shape)
    return csr_array(off + own)


def second_eigenvalue(topology: Topology) -> float:
    """Largest absolute eigenvalue of W but for that of the mean, which is 1.

    Each mixing brings the models nearer to their mean by this factor or more.
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    n, weights = topology.num_clients, mixing_matrix(topology)
    if n <= DENSE_UP_TO:
        return float(np.abs(np.linalg.eigvalsh(weights.toarray() - 1 / n)).max())
    away = LinearOperator((n, n), matvec=lambda v: weights @ v - v.mean(), dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(n)
    return float(np.abs(eigsh(away, k=1, which="LM", v0=start, return_eigenvectors=False))[0])


def in_words(topology: Topology) -> str:
    """The graph in a line."""
    degrees = [len(near) for near in neighbours(topology)]
    low, high = min(degrees), max(degrees)
    each = f"{low}" if low == high else f"{low} to {high}"
    return (
        f"{topology.name}, {each} neighbour{'s' * (high > 1)} each, {len(topology.edges):,} edges; "
        f"a mixing takes the distance from consensus to {second_eigenvalue(topology):.3g} of it or "
        "less"
    )


def _adjacency(topology: Topology) -> "scipy.sparse.csr_array":
    from scipy.sparse import csr_array

    ends = np.array(topology.edges, dtype=int).reshape(-1, 2)
    both = np.concatenate([ends, ends[:, ::-1]])
    shape = (topology.num_clients, topology.num_clients)
    return csr_array((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=shape)
