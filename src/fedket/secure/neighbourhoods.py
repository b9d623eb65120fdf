"""Sums over neighbourhoods: in a federation without a centre each client is the server of its own.

Client i gets sum_j W_ij y_j over its neighbours j by a protocol, in which i has the server's part
and its links with them carry the MACs. With Protocol A the neighbours mask their models with pads
of the links that they have *among each other*; so i learns their sum and nothing else if these
links join all of them, and there are two or more. `check_maskable` asks for that. Relaying pads for
neighbours without a link would put them into the hands of whoever relays, so fedket does not.

What i sends, it takes away from its own model:

    x_i = y_i + sum_j (what came from j) - sum_j (what went to j)

so that the mean of all models is kept whatever was rounded or clipped, and without either x is W y.

Sums of a round are formed one after the other; that of client i in round r is round
(r - 1)·n + i + 1 of its protocol, and of the key source.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from fedket.errors import ConfigError, RoundLostError
from fedket.secure.pairwise.graph import Graph, is_connected
from fedket.secure.protocol import Protocol, RoundCost
from fedket.secure.sides import count_values, round_cost
from fedket.topology.graph import Topology, mixing_matrix, neighbours
from fedket.traffic import PhaseCost, Traffic
from fedket.types import (
    SERVER,
    Contribution,
    KeySource,
    KeyWait,
    PacedKeySource,
    Reducer,
    RoundContext,
    Secret,
    Stream,
)


def check_maskable(topology: Topology) -> None:
    """Refuse graphs on which masks of links among neighbours do not leave one sum.

    Raises:
        ConfigError: The neighbours of a client are one, or fall into parts without links between.
    """
    links = frozenset(topology.edges)
    for client, near in enumerate(neighbours(topology)):
        if len(near) < 2 or not is_connected(_among(links, near), near):
            raise ConfigError(
                f"client {client} would learn more than the sum of its neighbours {list(near)}: "
                "masks need two of them or more, joined by links among each other; use a graph "
                'such as "complete" or a ring of reach 2, or aggregation.kind = "plain"'
            )


def _among(links: Collection[tuple[int, int]], near: tuple[int, ...]) -> Graph:
    return Graph(near, 0, frozenset(link for link in links if set(link) <= set(near)))


def of_neighbourhood(
    topology: Topology, context: RoundContext, client: int
) -> tuple[RoundContext, float]:
    """Return the round in which a client gets its sum, and what that is to be multiplied by.

    Weights are those of the neighbours that are in the round, divided by their sum.
    """
    present = set(context.client_ids)
    absent = tuple(sorted(set(range(topology.num_clients)) - present))
    near = tuple(j for j in neighbours(topology)[client] if j in present)
    weights = mixing_matrix(topology, absent)[[client], :].toarray()[0, list(near)]
    scale = float(weights.sum())
    own = context._replace(
        round_num=(context.round_num - 1) * topology.num_clients + client + 1,
        client_ids=near,
        weights=tuple((weights / scale).tolist()) if near else (),
    )
    return own, scale


def neighbourhood_cost(
    topology: Topology, protocol: Protocol, context: RoundContext, num_values: int
) -> RoundCost:
    """Return what the sums of all clients of a round cost together."""
    costs, key = [], dict[Stream, int]()
    for client in context.client_ids:
        own, _ = of_neighbourhood(topology, context, client)
        costs.append(round_cost(protocol, own, num_values))
        for stream, size in costs[-1].key.items():
            renamed = _renamed(stream, client)
            key[renamed] = key.get(renamed, 0) + size
    return RoundCost(
        sum(cost.upload_bytes for cost in costs),
        max(cost.vector_bytes for cost in costs),
        key,
        max(cost.num_requests for cost in costs),
    )


def mix_by_sums(topology: Topology, protocol: Protocol, reducers: Mapping[int, Reducer]) -> Reducer:
    """Return what mixes models by sums over neighbourhoods, see `fedket.federated.gossip.mix`.

    Args:
        topology: The graph.
        protocol: How a sum is formed.
        reducers: Client -> what forms its sum, with its own view of the keys (`SeenBy`).

    Raises (the reducer):
        ProtocolError: A sum has no two clients to hide among, or one did not answer: the round is
            lost.
    """

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        rows = {client: k for k, client in enumerate(context.client_ids)}
        arrays = jax.tree.map(np.asarray, contributions)

        def everybody(leaf: np.ndarray) -> np.ndarray:
            mixed = np.zeros((topology.num_clients, *leaf.shape[1:]), np.float64)
            mixed[list(rows)] = leaf
            return mixed

        mixed, costs = jax.tree.map(everybody, arrays), []
        for client in rows:
            own, scale = of_neighbourhood(topology, context, client)
            if not own.client_ids:
                continue
            given = _weighted(arrays, [rows[j] for j in own.client_ids], own.weights)
            total, traffic = reducers[client](given, own)
            costs.append(traffic)
            if traffic.missing:
                raise _incomplete(client, traffic.missing, context.round_num)
            _move(mixed, client, total, scale)
            for j, sent in _sent(protocol, own, given).items():
                _move(mixed, j, sent, -scale)
        models = jax.tree.map(lambda new, leaf: new.astype(leaf.dtype), mixed, arrays)
        return models, _together(costs)

    return reduce


def _weighted(arrays: Any, places: list[int], weights: tuple[float, ...]) -> Any:
    def of_leaf(leaf: np.ndarray) -> np.ndarray:
        factors = np.array(weights).reshape(-1, *(1,) * (leaf.ndim - 1))
        weighted: np.ndarray = (leaf[places] * factors).astype(leaf.dtype)
        return weighted

    return jax.tree.map(of_leaf, arrays)


def _move(mixed: Any, client: int, amount: Any, factor: float) -> None:
    """Add to a client's model, in place."""

    def add(leaf: np.ndarray, part: np.ndarray) -> None:
        leaf[client] += factor * np.asarray(part, np.float64)

    jax.tree.map(add, mixed, amount)


def _sent(protocol: Protocol, own: RoundContext, given: Any) -> dict[int, Any]:
    """What each neighbour's words stand for: its part of the sum."""
    num_values = count_values(jax.tree.map(lambda leaf: leaf[0], given))
    coder = protocol.coder(protocol.quantiser, protocol.clip, own, num_values)
    sent = {}
    for k, client in enumerate(own.client_ids):
        row = jax.tree.map(lambda leaf, k=k: leaf[k], given)
        sent[client] = coder.decode(row, coder.encode(client, row).integers)
    return sent


def _incomplete(client: int, missing: Mapping[int, str], round_num: int) -> RoundLostError:
    first, why = next(iter(missing.items()))
    return RoundLostError(
        f"round {round_num}: the sum of client {client} is without its neighbour {first} ({why}), "
        "so models would not keep their mean; the round is lost, go on with the next",
        dict(missing),
    )


def _together(costs: list[Traffic]) -> Traffic:
    """Add up what the sums of a round cost."""
    phases: dict[str, PhaseCost] = {}
    for phase in (phase for traffic in costs for phase in traffic.phases):
        before = phases.get(phase.name)
        added = [a + b for a, b in zip(before[1:], phase[1:], strict=True)] if before else phase[1:]
        phases[phase.name] = PhaseCost(phase.name, *added)
    return Traffic(
        upload_bytes=sum(traffic.upload_bytes for traffic in costs),
        key_bits=sum(traffic.key_bits for traffic in costs),
        num_clipped=sum(traffic.num_clipped or 0 for traffic in costs),
        phases=tuple(phases.values()),
        key_wait_s=sum(traffic.key_wait_s for traffic in costs),
        key_levels=costs[-1].key_levels if costs else {},
    )


def _renamed(stream: Stream, client: int) -> Stream:
    a, b = stream
    return (client if a == SERVER else a, client if b == SERVER else b)


class SeenBy(NamedTuple):
    """The key source of all links, for the sum in which a client has the server's part.

    Attributes:
        source: Of all links between clients.
        client: Who is the server.
    """

    source: Any
    client: int

    def _end(self, party: int) -> int:
        return self.client if party == SERVER else party

    def _each(self, streams: Mapping[Stream, Any]) -> dict[Stream, Any]:
        return {_renamed(stream, self.client): value for stream, value in streams.items()}

    def reserve(
        self, round_num: int, client_id: int, lengths: Mapping[Stream, int]
    ) -> dict[Stream, int]:
        """See `KeySource`."""
        found = self.source.reserve(round_num, self._end(client_id), self._each(lengths))
        return {stream: found[_renamed(stream, self.client)] for stream in lengths}

    def accept(
        self, round_num: int, client_id: int, ranges: Mapping[Stream, tuple[int, int]]
    ) -> None:
        """See `KeySource`."""
        self.source.accept(round_num, self._end(client_id), self._each(ranges))

    def spend(
        self, round_num: int, client_id: int, stream: Stream, start: int, num_bytes: int
    ) -> Secret:
        """See `KeySource`."""
        end, renamed = self._end(client_id), _renamed(stream, self.client)
        secret: Secret = self.source.spend(round_num, end, renamed, start, num_bytes)
        return secret

    def burn(self, round_num: int, client_id: int, streams: Collection[Stream]) -> None:
        """See `KeySource`."""
        renamed = [_renamed(stream, self.client) for stream in streams]
        self.source.burn(round_num, self._end(client_id), renamed)


class PacedSeenBy(SeenBy):
    """The same of a source that fills up while time passes."""

    source: PacedKeySource

    def waiting_time(self, lengths: Mapping[Stream, int]) -> KeyWait:
        """See `PacedKeySource`."""
        return self.source.waiting_time(self._each(lengths))

    def waited_s(self) -> float:
        """See `PacedKeySource`."""
        return self.source.waited_s()

    def levels(self) -> dict[tuple[int, int], int]:
        """See `PacedKeySource`."""
        return self.source.levels()

    def problem(self) -> str:
        """See `PacedKeySource`."""
        return self.source.problem()

    def advance(self, seconds: float) -> None:
        """See `PacedKeySource`."""
        self.source.advance(seconds)


def seen_by(source: KeySource | None, client: int) -> KeySource | None:
    """Return the key source for the sum in which a client has the server's part."""
    if isinstance(source, PacedKeySource):
        return PacedSeenBy(source, client)
    return source and SeenBy(source, client)
