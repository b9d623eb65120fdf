"""A protocol as a reducer: both sides, real phases, real pads and real bytes, in one process."""

from functools import partial
from typing import Any

import jax
import numpy as np

from fedket.errors import ProtocolError
from fedket.record import SIMULATED
from fedket.secure.phases import Failure, Handler, Outcome, Payload, drive, in_process, integer
from fedket.secure.protocol import Answers, Party, Protocol, everybody_answers
from fedket.secure.sides import (
    Learn,
    client_side,
    count_values,
    fresh_state,
    server_side,
)
from fedket.traffic import Traffic
from fedket.types import Contribution, KeySource, Reducer, RoundContext


def reduce_in_process(
    protocol: Protocol,
    key_source: KeySource | None = None,
    run_id: str = "in process",
    answers: Answers = everybody_answers,
) -> Reducer:
    """Return the reducer that runs a protocol between simulated clients and server.

    Rounds that take key only go up: one cannot be reduced twice by a reducer or key source. Shares
    of samples are those of the whole cohort: what drop-outs would have added is missing from the
    sum, it is not spread over the others.

    Args:
        protocol: How the sum is formed.
        key_source: All ends of all links; not needed by a protocol that takes no key.
        run_id: Name of the run, part of every authenticated message.
        answers: Who answers what.

    Raises (the reducer):
        ConfigError: There is no key source, or the protocol does not suit the cohort.
        ProtocolError: Too few clients are left, or contributions and context disagree.
        KeyMaterialError: The server's own keys ran out or were used before.
    """
    latest = 0

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        nonlocal latest
        check_clients(contributions, context)
        context, rows = _by_client(contributions, context)
        template = jax.tree.map(lambda leaf: leaf[0], contributions)
        party = Party(run_id, key_source)
        num_values = count_values(template)
        handlers = {
            i: client_side(protocol, i, party, num_values, _learn(context, row))
            for i, row in rows.items()
        }
        handlers = {i: partial(_perhaps, answers, i, handlers[i]) for i in rows}
        states = {i: fresh_state(protocol, latest) for i in rows}
        server = server_side(protocol, context, template, party)
        try:
            total, traffic = drive(server, in_process(handlers, states))
        finally:
            latest = max(latest, context.round_num) if protocol.takes_key else 0
        clients = [state.inner if protocol.authenticated else state for state in states.values()]
        return total, traffic._replace(
            num_clipped=sum(client.num_clipped for client in clients),
            num_clipped_updates=sum(client.clipped_whole for client in clients)
            if protocol.private
            else None,
        )

    return reduce


def check_clients(contributions: Contribution, context: RoundContext) -> None:
    """Check that contributions have a row for every client of the round.

    Raises:
        ProtocolError: They have not.
    """
    num_clients = len(context.client_ids)
    arrived = sorted({leaf.shape[0] for leaf in jax.tree.leaves(contributions)})
    if num_clients < 1 or arrived != [num_clients] or len(context.weights) != num_clients:
        raise ProtocolError(
            f"round {context.round_num} has {num_clients} clients and {len(context.weights)} "
            f"weights, contributions of {arrived} clients arrived; pass one row per client"
        )


def _by_client(
    contributions: Contribution, context: RoundContext
) -> tuple[RoundContext, dict[int, Contribution]]:
    """Return the round with its clients in ascending order, and each one's contribution."""
    order = sorted(range(len(context.client_ids)), key=context.client_ids.__getitem__)
    arrays = jax.tree.map(np.asarray, contributions)
    rows = {context.client_ids[k]: jax.tree.map(lambda leaf, k=k: leaf[k], arrays) for k in order}
    weights = tuple(context.weights[k] for k in order)
    return context._replace(client_ids=tuple(rows), weights=weights), rows


def _learn(context: RoundContext, contribution: Contribution) -> Learn:
    """A client that has trained already."""
    return lambda _: (context, lambda: contribution)


def _perhaps(
    answers: Answers,
    client_id: int,
    handler: Handler[Any],
    action: str,
    payload: Payload,
    state: Any,
) -> tuple[Outcome, Any]:
    """Answer as `handler` does, or drop out: the request is not even seen."""
    if answers(integer(payload, "round_num"), client_id, action):
        return handler(action, payload, state)
    return Failure(f"client {client_id} dropped out {SIMULATED}"), state
