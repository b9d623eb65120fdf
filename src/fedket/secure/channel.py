"""Authenticated messages between server and clients, around any protocol of `phases`.

Per round both directions of a client's link with the server set aside one Poly1305 key per
message; message m of the round, from 0, uses bytes 32*m to 32*m + 31 of the reservation, and the
answer to it the same bytes of the other direction. The tag covers the whole payload, and a header
with the run, the round, the action, sender, receiver and the place of the key in its stream. What
was altered, truncated, replayed, or comes from somebody else is rejected and named:

- by a client, which then gives no answer and keeps the state of its handler;
- by the server, for which the client has then failed in this phase, and the protocol inside
  decides (Protocol A: it is missing before READY, and ends the round at UPLOAD).

Some fields of a payload are the channel's, see `FIELDS`; the protocol inside puts `round_num` into
every request.
The latest request, repeated, gets the same answer, byte for byte; the handler inside does not
see it. So an engine may retry.

Not covered: a refusal (whoever is on the way can make a message fail), and which round a round's
first message says it is of and where its keys begin. Who forges that can make an end skip MAC keys
or rounds of this one link: a denial of service, as is cutting the wire. In a deployment TLS keeps
outsiders from either.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from fedket.errors import FedketError, KeyMaterialError, ProtocolError
from fedket.secure.mac import MAC_KEY_BYTES
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
    State,
    integer,
    mapped,
)
from fedket.secure.protocol import Party
from fedket.secure.tags import Slot, check, tag
from fedket.types import SERVER, Stream

FIELDS = frozenset({"message", "mac_offset", "mac_bytes", "tag"})
"""Fields of a payload that are the channel's; the handler inside does not see them."""


class ChannelState(NamedTuple):
    """What a client remembers of the channel, around the state of its handler.

    Attributes:
        inner: State of the handler inside.
        round_num: Latest round of which a message was accepted.
        message: Number of the latest message in it.
        starts: Where the round's MAC keys begin in the streams from and to the server.
        request: That message.
        answer: What was answered to it.
    """

    inner: Any
    round_num: int = 0
    message: int = 0
    starts: Mapping[Stream, int] = {}
    request: Mapping[str, object] = {}
    answer: Outcome = Failure("nothing was asked yet")

    def __repr__(self) -> str:
        return f"ChannelState({self.inner!r}, message {self.message} of round {self.round_num})"


def authenticated_client(
    handler: Handler[State], client_id: int, party: Party
) -> Handler[ChannelState]:
    """Return the handler that listens to the server only, and tags its answers.

    Args:
        handler: A client's handler.
        client_id: This client.
        party: Its MAC keys with the server.
    """

    def handle(action: str, payload: Payload, state: ChannelState) -> tuple[Outcome, ChannelState]:
        if dict(payload) == dict(state.request):
            return state.answer, state
        try:
            state = _hear(party, client_id, action, payload, state)
        except FedketError as error:
            return Failure(str(error)), state
        said = {name: value for name, value in payload.items() if name not in FIELDS}
        answer, inner = handler(action, said, state.inner)
        if isinstance(answer, Reply):
            slot = Slot(state.round_num, state.message, action, state.starts)
            answer = _tagged(party, client_id, slot, answer.payload)
        return answer, state._replace(inner=inner, answer=answer)

    return handle


def authenticated_server(
    server: Server[Result],
    party: Party,
    round_num: int,
    cohort: tuple[int, ...],
    num_messages: int,
) -> Server[Result]:
    """Return the same protocol over authenticated messages.

    Args:
        server: Server generator of one round; its first phase goes to the whole cohort.
        party: The server's MAC keys with all clients.
        round_num: Round number; goes up.
        cohort: Client ids.
        num_messages: The most phases the round can have, that of an abort included.

    Raises:
        KeyMaterialError: The server's MAC keys ran out or were used before.
    """
    num_bytes = num_messages * MAC_KEY_BYTES
    starts = party.keys.reserve(round_num, SERVER, {(SERVER, i): num_bytes for i in cohort})
    slot = Slot(round_num, 0, "", starts)

    def address(phase: Phase) -> Phase:
        nonlocal slot
        slot = slot._replace(action=phase.action)
        each = {i: _address(party, slot, phase, i, num_bytes) for i in phase.to}
        if slot.message == 0:
            phase = phase._replace(mac_bits=phase.mac_bits + 2 * 8 * num_bytes * len(cohort))
        return phase._replace(each=each)

    def checked(_: Phase, outcomes: Outcomes) -> Outcomes:
        nonlocal slot
        if slot.message == 0:
            outcomes, starts = _open(party, slot, num_bytes, outcomes)
            slot = slot._replace(starts=starts)
        heard = {i: _check(party, slot, i, outcome) for i, outcome in outcomes.items()}
        slot = slot._replace(message=slot.message + 1)
        return heard

    try:
        return (yield from mapped(server, address, checked))
    finally:
        party.keys.burn(round_num, SERVER, list(slot.starts))


def _hear(
    party: Party,
    client_id: int,
    action: str,
    payload: Payload,
    state: ChannelState,
) -> ChannelState:
    """Return the state after a message of the server; raise if it is not the server's next."""
    round_num, message = integer(payload, "round_num"), integer(payload, "message")
    if (round_num, message) <= (state.round_num, state.message):
        raise ProtocolError(
            f"client {client_id} refuses message {message} of round {round_num}: it is at message "
            f"{state.message} of round {state.round_num}; both only go up"
        )
    starts = dict(state.starts)
    if round_num > state.round_num:
        if message:
            raise ProtocolError(
                f"client {client_id} missed the start of round {round_num}; wait for the next"
            )
        stream, start = (SERVER, client_id), integer(payload, "mac_offset")
        num_bytes = integer(payload, "mac_bytes")
        party.keys.accept(round_num, client_id, {stream: (start, num_bytes)})
        starts = {stream: start}
    slot = Slot(round_num, message, action, starts)
    check(party, slot, (SERVER, client_id), payload)
    if message == 0:
        lengths = {(client_id, SERVER): integer(payload, "mac_bytes")}
        starts |= party.keys.reserve(round_num, client_id, lengths)
    return ChannelState(state.inner, round_num, message, starts, payload, state.answer)


def _tagged(party: Party, client_id: int, slot: Slot, payload: Payload) -> Outcome:
    stream = (client_id, SERVER)
    if slot.message == 0:
        payload = {**payload, "mac_offset": slot.starts[stream]}
    try:
        return Reply({**payload, "tag": tag(party, slot, stream, payload)})
    except KeyMaterialError as error:
        return Failure(str(error))


def _address(party: Party, slot: Slot, phase: Phase, client_id: int, num_bytes: int) -> Payload:
    """Return what only this client gets: the protocol's part, the message's number and its tag."""
    stream = (SERVER, client_id)
    own = {**phase.each.get(client_id, {}), "message": slot.message}
    if slot.message == 0:
        own |= {"mac_offset": slot.starts[stream], "mac_bytes": num_bytes}
    return {**own, "tag": tag(party, slot, stream, {**phase.payload, **own})}


def _open(
    party: Party, slot: Slot, num_bytes: int, outcomes: Outcomes
) -> tuple[Outcomes, dict[Stream, int]]:
    """Set aside the clients' keys at the server's end, where their first answers say they begin."""
    opened, starts = dict(outcomes), dict(slot.starts)
    for client_id, outcome in outcomes.items():
        stream = (client_id, SERVER)
        try:
            if isinstance(outcome, Reply):
                starts[stream] = integer(outcome.payload, "mac_offset")
        except ProtocolError as error:
            opened[client_id] = Failure(str(error))
    ranges = {s: (start, num_bytes) for s, start in starts.items() if s[1] == SERVER}
    for stream, reason in _accept(party, slot.round_num, ranges).items():
        opened[stream[0]] = Failure(reason)
    return opened, starts


def _accept(
    party: Party, round_num: int, ranges: Mapping[Stream, tuple[int, int]]
) -> dict[Stream, str]:
    """Accept all ranges at once; if one is bad, one by one. Return what is wrong with which."""
    try:
        party.keys.accept(round_num, SERVER, ranges)
    except KeyMaterialError as error:
        if len(ranges) == 1:
            return dict.fromkeys(ranges, str(error))
        wrong: dict[Stream, str] = {}
        for stream, span in ranges.items():
            wrong |= _accept(party, round_num, {stream: span})
        return wrong
    return {}


def _check(party: Party, slot: Slot, client_id: int, outcome: Outcome) -> Outcome:
    """Return an answer that is the client's own, or a failure."""
    if isinstance(outcome, Failure):
        return outcome
    try:
        check(party, slot, (client_id, SERVER), outcome.payload)
    except (ProtocolError, KeyMaterialError) as error:
        return Failure(str(error))
    return outcome
