"""The two sides of a protocol, with what goes round every one of them.

The server's side, from the inside out: the protocol, the guard against opening two groups of a
round, the phase `model` (the global model and what else a round begins with, to the whole cohort),
the authenticated channel, accounts. A client's side is the mirror image: channel, `model`, its
contribution as integers, the protocol. A simulation (`fedket.secure.in_process`) drives both in one
process, a deployment each at its end.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax

from fedket.errors import FedketError, ProtocolError, RoundLostError
from fedket.secure.begun import NOTHING_BEGUN, Begun, statement_of
from fedket.secure.channel import ChannelState, authenticated_client, authenticated_server
from fedket.secure.differencing_guard import OpenedSums, guard_differencing
from fedket.secure.mac import MAC_KEY_BYTES, TAG_BYTES
from fedket.secure.metering import metered
from fedket.secure.phases import (
    Failure,
    Handler,
    Outcome,
    Outcomes,
    Payload,
    Phase,
    Reply,
    Result,
    Server,
    integer,
    integers,
    mapped,
)
from fedket.secure.protocol import Party, Protocol, RoundCost
from fedket.secure.quantise import Quantised
from fedket.secure.words import Integers
from fedket.traffic import Traffic, traffic_of
from fedket.types import SERVER, Contribution, RoundContext

MODEL = "model"
"""Action of the phase that every round begins with."""

Learn = Callable[[Payload], tuple[RoundContext, Callable[[], Contribution | None]]]
"""What a round begins with -> the round, and how a client comes to its contribution to it; None
when there is no usable one. Raises `ProtocolError` if it will have nothing to do with the round."""

Give = Callable[[Begun, tuple[int, ...] | None], None]
"""(round, group) -> remembers that a client's update is about to be in the sum of a group; None
only asks whether the round may begin. Raises `ProtocolError` if it gave the update elsewhere."""


def forget(begun: Begun, group: tuple[int, ...] | None) -> None:
    """The memory of a simulated client."""


class ClientState(NamedTuple):
    """What a client remembers between messages, inside its channel.

    Attributes:
        inner: State of the protocol's handler.
        begun: The latest round that it was sent a model for.
        contribute: How it comes to its contribution to that round, until it has.
        num_clipped: Coordinates of its latest update beyond the clip. Private.
        clipped_whole: Whether all of it was beyond a clip of its norm. Private.
    """

    inner: Any
    begun: Begun = NOTHING_BEGUN
    contribute: Callable[[], Contribution | None] | None = None
    num_clipped: int = 0
    clipped_whole: bool = False

    def __repr__(self) -> str:
        return f"ClientState({self.inner!r})"


def server_side(
    protocol: Protocol,
    context: RoundContext,
    template: Contribution,
    party: Party,
    opening: Payload | None = None,
    deadline: float = 60.0,
    opened: OpenedSums | None = None,
) -> Server[tuple[Contribution, Traffic]]:
    """Return the server's side of one round: it ends with the sum, and what that cost.

    Args:
        protocol: How the sum is formed; the clients have the same.
        context: The round; clients that drop out leave its weights as they are.
        template: Shapes and types of a contribution.
        party: The server.
        opening: What the phase `model` carries.
        deadline: Seconds for each phase, unless the engine knows better.
        opened: Remembers whose sum may be open; without, a server that dies in this
            round must never begin it again.

    Raises:
        ConfigError: The protocol cannot sum such contributions of so many clients.
        RoundLostError: The round is over without a sum, its keys are burned.
        KeyMaterialError: The server's own keys ran out or were used before.
    """
    num_values = count_values(template)
    coder = protocol.coder(protocol.quantiser, protocol.clip, context, num_values)
    _check_enough(protocol, context, {})
    server = protocol.server(context, num_values, party.run_id, deadline)
    server = mapped(server, partial(_check_group, protocol, context.round_num))
    if opened is not None:
        server = guard_differencing(server, protocol.opens, context, opened)
    server = _beginning(server, context, opening or {}, deadline)
    if protocol.authenticated:
        requests = round_cost(protocol, context, num_values).num_requests
        cohort = context.client_ids
        server = authenticated_server(server, party, context.round_num, cohort, requests)
    total, phases = yield from metered(server)
    _check_enough(protocol, context, total.missing)
    traffic = traffic_of(phases)._replace(missing=total.missing)
    return coder.decode(template, total.integers), traffic


def client_side(
    protocol: Protocol,
    client_id: int,
    party: Party,
    num_values: int,
    learn: Learn,
    give: Give = forget,
) -> Handler[Any]:
    """Return a client's handler; its first state is `fresh_state`.

    Args:
        protocol: How the sum is formed: the client's own idea of it, not the server's.
        client_id: The client.
        party: The same, as others know it.
        num_values: Values of a contribution.
        learn: What it does with a model.
        give: Asked before anything leaves the client that opens a sum it is in.
    """

    def handle(action: str, payload: Payload, state: ClientState) -> tuple[Outcome, ClientState]:
        if action == MODEL:
            return _begin(client_id, learn, give, payload, state)
        made: list[Quantised] = []

        def update(round_num: int) -> Integers | None:
            context = state.begun.context
            if state.contribute is None or context.round_num != round_num:
                raise ProtocolError(f"client {client_id} was sent no model for round {round_num}")
            contribution = state.contribute()
            if contribution is None:
                return None
            coder = protocol.coder(protocol.quantiser, protocol.clip, context, num_values)
            made.append(coder.encode(client_id, contribution))
            return made[-1].integers

        client = protocol.client(client_id, party, update, num_values, state.begun)
        try:
            _check_cohort(client_id, state.begun, payload)
            if (field := protocol.opens.get(action, "")) in payload:
                group = integers(payload, field)
                if len(group) < protocol.least:
                    raise ProtocolError(
                        f"client {client_id} refuses a sum over {len(group)} clients, "
                        f"{protocol.least} are the least"
                    )
                give(state.begun, group)
        except ProtocolError as error:
            return Failure(str(error)), state
        outcome, inner = client(action, payload, state.inner)
        contribute = None if action == protocol.trains else state.contribute
        state = state._replace(inner=inner, contribute=contribute)
        for one in made:
            state = state._replace(num_clipped=one.num_clipped, clipped_whole=one.clipped_whole)
        return outcome, state

    if protocol.authenticated:
        return authenticated_client(handle, client_id, party)
    return handle


def fresh_state(protocol: Protocol, latest_round: int = 0) -> Any:
    """Return the state of a client that may take part in rounds after `latest_round`."""
    state = ClientState(protocol.state(latest_round))
    return ChannelState(state) if protocol.authenticated else state


def round_cost(protocol: Protocol, context: RoundContext, num_values: int) -> RoundCost:
    """Return what a round costs if nobody drops out; see `server_side`."""
    cost = protocol.cost(context, num_values)
    requests = cost.num_requests + 1
    if not protocol.authenticated:
        return cost._replace(num_requests=requests)
    ends = [stream for i in context.client_ids for stream in ((SERVER, i), (i, SERVER))]
    # A tag on every answer but that to an abort, and on the first where its keys begin.
    clients = len(context.client_ids)
    answers = (
        clients * cost.num_requests if cost.num_answers is None else cost.num_answers + clients
    )
    return RoundCost(
        cost.upload_bytes + TAG_BYTES * answers + 8 * clients,
        cost.vector_bytes,
        {**cost.key, **dict.fromkeys(ends, requests * MAC_KEY_BYTES)},
        requests,
    )


def count_values(template: Contribution) -> int:
    """Values of a contribution."""
    return sum(leaf.size for leaf in jax.tree.leaves(template))


def _check_enough(protocol: Protocol, context: RoundContext, missing: Mapping[int, str]) -> None:
    """Check that a private sum is over as many clients as its noise was worked out for.

    Raises:
        RoundLostError: It is not.
    """
    members = len(context.client_ids) - len(missing)
    if protocol.private and members < protocol.least:
        raise RoundLostError(
            f"round {context.round_num} has {members} clients left, {protocol.least} are the least "
            "over which a sum may be opened; let more of them take part, or lower "
            "privacy.survivors, for more noise of each",
            missing,
        )


def _check_group(protocol: Protocol, round_num: int, phase: Phase) -> Phase:
    """Pass on a request that opens a sum, if enough clients are in it.

    Raises:
        RoundLostError: They would refuse; none of them is to blame.
    """
    if (field := protocol.opens.get(phase.action, "")) in phase.payload:
        group = integers(phase.payload, field)
        if len(group) < protocol.least:
            raise RoundLostError(
                f"round {round_num} has {len(group)} clients left, {protocol.least} are the least "
                "over which a sum may be opened",
                {},
            )
    return phase


def _beginning(
    server: Server[Result], context: RoundContext, opening: Payload, deadline: float
) -> Server[Result]:
    """Send everybody the model; whoever does not take it has failed, and is asked nothing else."""
    request = {"round_num": context.round_num, **opening}
    outcomes = yield Phase(MODEL, context.client_ids, request, deadline)
    nothing = Failure("no answer")
    said = {i: outcomes.get(i, nothing) for i in context.client_ids}
    failed = {i: outcome for i, outcome in said.items() if isinstance(outcome, Failure)}

    def without(phase: Phase) -> Phase:
        return phase._replace(to=tuple(i for i in phase.to if i not in failed))

    def with_failed(phase: Phase, outcomes: Outcomes) -> Outcomes:
        return {**outcomes, **{i: failed[i] for i in phase.to if i in failed}}

    return (yield from mapped(server, without, with_failed))


def _begin(
    client_id: int, learn: Learn, give: Give, payload: Payload, state: ClientState
) -> tuple[Outcome, ClientState]:
    """Take in what a round begins with, once it is known to be genuine."""
    try:
        round_num = integer(payload, "round_num")
        if round_num <= state.inner.round_num:
            raise ProtocolError(
                f"client {client_id} is in round {state.inner.round_num} and refuses a model for "
                f"round {round_num}; rounds only go up"
            )
        context, contribute = learn(payload)
        begun = Begun(context, statement_of(payload))
        give(begun, None)
        return Reply({}), state._replace(begun=begun, contribute=contribute)
    except FedketError as error:
        return Failure(str(error)), state


def _check_cohort(client_id: int, begun: Begun, payload: Payload) -> None:
    """Check that a request names no other cohort than that which the round began with.

    Raises:
        ProtocolError: It does: weights would be those of one cohort, masks those of another.
    """
    if "cohort" not in payload:
        return
    cohort, round_num = begun.context.client_ids, integer(payload, "round_num")
    if round_num != begun.context.round_num:
        raise ProtocolError(f"client {client_id} was sent no model for round {round_num}")
    if integers(payload, "cohort") != cohort:
        raise ProtocolError(
            f"client {client_id} was sent a model for cohort {list(cohort)} and refuses a sum over "
            f"{list(integers(payload, 'cohort'))}"
        )
