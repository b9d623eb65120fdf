"""Protocol A, client side: checks what the server says, and masks one update once per round.

The state is what the client remembers between messages. A message about an earlier round changes
nothing; any other message that breaks the protocol, a repeated one included, ends the round for
this client: its keys are burned and every further request of that round is refused. Requests are
retried one level up, where `channel.authenticated_client` gives the same bytes again.

`round_num` only goes up within the life of the state: a client that restarts must start in a new
round with a new update, since the same update under fresh pads in another group is a leak.
"""

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from fedket.errors import ProtocolError
from fedket.secure.client_steps import refusal, stepwise
from fedket.secure.pairwise.confirm import UNTOLD, Confirmation, Own
from fedket.secure.pairwise.graph import is_connected
from fedket.secure.pairwise.terms import (
    Terms,
    graph_of,
    higher,
    lower,
    mac_bytes,
    peers,
    piece,
    read_terms,
    receivers,
    senders,
    stream_bytes,
)
from fedket.secure.phases import Handler, Outcome, Payload, Reply, integer, integers
from fedket.secure.words import Words, pack_words, packed_size, unpack_words, word_dtype
from fedket.types import KeySource, Stream


class Stage(enum.Enum):
    """How far a client is in its latest round."""

    IDLE = "idle"
    RESERVED = "reserved"
    READY = "ready"
    CONFIRMED = "confirmed"
    UPLOADING = "uploading"
    ENDED = "ended"


class ClientState(NamedTuple):
    """What a client remembers; `ClientState()` has seen no round.

    Attributes:
        round_num: Latest round taken part in, or refused.
        stage: How far it is.
        terms: Terms of the round, from RESERVE on.
        offsets: Where the round begins in the streams to and from neighbours.
        words: The quantised update, fixed at READY and dropped when all of it is sent. Private.
        members: U1 as the server published it.
        num_sent: Words masked and sent so far.
    """

    round_num: int = 0
    stage: Stage = Stage.IDLE
    terms: Terms | None = None
    offsets: Mapping[Stream, int] = {}
    words: Words | None = None
    members: tuple[int, ...] = ()
    num_sent: int = 0

    def __repr__(self) -> str:
        return f"ClientState(round {self.round_num}, {self.stage.value}, update hidden)"


class _Client(NamedTuple):
    client_id: int
    keys: KeySource
    update: Callable[[Terms], Words | None]
    own: Own


def pairwise_client(
    client_id: int,
    keys: KeySource,
    update: Callable[[Terms], Words | None],
    own: Own = UNTOLD,
) -> Handler[ClientState]:
    """Return the handler of one client.

    Args:
        client_id: This client, 0 or more.
        keys: Where its pads come from.
        update: Terms of a round -> quantised words, shape (num_words,), or None when there is no
            usable update (then the client drops out before READY, at no cost to the others). It
            raises on terms that are not the client's own idea of them.
        own: What the client confirms to its neighbours.
    """
    return stepwise(_Client(client_id, keys, update, own), STEPS, _give_up)


def _reserve(client: _Client, payload: Payload, state: ClientState) -> tuple[Outcome, ClientState]:
    terms, me = read_terms(payload), client.client_id
    if terms.round_num == state.round_num:
        raise refusal(
            client.client_id, terms.round_num, "a second `reserve`, but rounds only go up"
        )
    if me not in terms.cohort:
        raise refusal(
            client.client_id, terms.round_num, f"a cohort without it, {list(terms.cohort)}"
        )
    _burn_all(client, state)
    streams = [(me, peer) for peer in receivers(terms, me)]
    lengths = {stream: stream_bytes(terms, stream) for stream in streams}
    offsets = client.keys.reserve(terms.round_num, me, lengths)
    answer = Reply({"offsets": [offsets[stream] for stream in lengths]})
    return answer, ClientState(terms.round_num, Stage.RESERVED, terms, offsets)


def _ready(client: _Client, payload: Payload, state: ClientState) -> tuple[Outcome, ClientState]:
    terms = _terms(client, payload, state, "ready", (Stage.RESERVED,))
    announced, me = _announced(client, terms, payload), client.client_id
    ranges = {s: (offset, stream_bytes(terms, s)) for s, offset in announced.items()}
    client.keys.accept(terms.round_num, me, ranges)
    words = client.update(terms)
    if words is None:
        raise ProtocolError(f"client {me} has no usable update this round")
    if words.shape != (terms.num_words,) or words.dtype != word_dtype(terms.word_bits):
        raise refusal(
            client.client_id,
            terms.round_num,
            f"{terms.num_words} words of {terms.word_bits} bits reserved for an update of shape "
            f"{words.shape}, {words.dtype}",
        )
    offsets = {**state.offsets, **announced}
    return Reply({}), state._replace(stage=Stage.READY, words=words, offsets=offsets)


def _announced(client: _Client, terms: Terms, payload: Payload) -> dict[Stream, int]:
    """Return where key from neighbours begins in their streams, as the server passes it on."""
    me, told, offsets = client.client_id, integers(payload, "senders"), integers(payload, "offsets")
    known = senders(terms, me)
    if told != tuple(i for i in known if i in told) or len(told) != len(offsets):
        raise refusal(
            me,
            terms.round_num,
            f"{len(offsets)} pads from clients {list(told)}; pads come from {list(known)}",
        )
    return {(i, me): offset for i, offset in zip(told, offsets, strict=True)}


def _confirm(client: _Client, payload: Payload, state: ClientState) -> tuple[Outcome, ClientState]:
    """Tell neighbours, under MACs, how the round began here and who is said to be in it."""
    terms = _terms(client, payload, state, "confirm", (Stage.READY,))
    members = integers(payload, "members")
    _check_members(client, terms, state, members)
    confirmation = _confirmation(client, terms, members)
    tags = confirmation.tags(client.keys, client.client_id, state.offsets)
    state = state._replace(stage=Stage.CONFIRMED, members=members)
    return Reply({"stated": client.own.stated, "tags": tags}), state


def _confirmation(client: _Client, terms: Terms, members: tuple[int, ...]) -> Confirmation:
    present = tuple(i for i in peers(terms, client.client_id) if i in members)
    return Confirmation(client.own, terms.round_num, present, members)


def _upload(client: _Client, payload: Payload, state: ClientState) -> tuple[Outcome, ClientState]:
    confirms = state.terms is not None and state.terms.confirm
    due = Stage.CONFIRMED if confirms else Stage.READY
    terms = _terms(client, payload, state, "upload", (due, Stage.UPLOADING))
    members = integers(payload, "members")
    offset, count = integer(payload, "offset"), integer(payload, "num_words")
    if state.stage is Stage.READY:
        _check_members(client, terms, state, members)
        state = state._replace(members=members)
    if members != state.members:
        what = f"members changed from {list(state.members)} to {list(members)}"
        raise refusal(client.client_id, terms.round_num, what)
    if offset != state.num_sent or count != piece(terms, offset):
        what = f"words {offset}..{offset + count}, {state.num_sent} is next"
        raise refusal(client.client_id, terms.round_num, what)
    if state.stage is Stage.CONFIRMED:
        confirmation = _confirmation(client, terms, members)
        confirmation.check(client.keys, client.client_id, state.offsets, payload)
    state = state._replace(stage=Stage.UPLOADING)
    data = _masked(client, terms, state, offset, count)
    rest = state.words if offset + count < terms.num_words else None
    return Reply({"words": data}), state._replace(num_sent=offset + count, words=rest)


def _abort(client: _Client, payload: Payload, state: ClientState) -> tuple[Outcome, ClientState]:
    _burn_all(client, state)
    return Reply({}), ClientState(integer(payload, "round_num"), Stage.ENDED)


STEPS: dict[str, Callable[[_Client, Payload, ClientState], tuple[Outcome, ClientState]]] = {
    "reserve": _reserve,
    "ready": _ready,
    "confirm": _confirm,
    "upload": _upload,
    "abort": _abort,
}


def _check_members(
    client: _Client, terms: Terms, state: ClientState, members: tuple[int, ...]
) -> None:
    """Check the published U1, and burn the pads shared with drop-outs."""
    me, present = client.client_id, set(members)
    in_order = tuple(i for i in terms.cohort if i in present) == members
    if not in_order or me not in present or len(members) < 2:
        raise refusal(
            client.client_id,
            terms.round_num,
            f"members {list(members)}: they must be 2 or more of the cohort {list(terms.cohort)}, "
            "in its order, this client among them",
        )
    known = {sender for sender, _ in state.offsets}
    strangers = [i for i in senders(terms, me) if i in present and i not in known]
    if strangers or not is_connected(graph_of(terms), members):
        why = f"no pad from {strangers}" if strangers else "their masks open more than one sum"
        raise refusal(client.client_id, terms.round_num, f"members {list(members)}: {why}")
    gone = (i for i in peers(terms, me) if i not in present)
    client.keys.burn(terms.round_num, me, _streams(terms, me, gone))


def _masked(client: _Client, terms: Terms, state: ClientState, offset: int, count: int) -> bytes:
    """Add the pads of higher members and subtract those of lower ones, pair by pair; pack."""
    if state.words is None:
        raise refusal(client.client_id, terms.round_num, "more words than the update has")
    me, present = client.client_id, set(state.members)
    masked = np.array(state.words[offset : offset + count])
    start = mac_bytes(terms) + offset * terms.word_bits // 8
    num_bytes = packed_size(count, terms.word_bits)
    for others, sign in ((higher(terms, me), np.add), (lower(terms, me), np.subtract)):
        for peer in (peer for peer in others if peer in present):
            stream = (min(me, peer), max(me, peer))
            pad = client.keys.spend(terms.round_num, me, stream, start, num_bytes)
            sign(masked, unpack_words(pad.reveal(), count, terms.word_bits), out=masked)
    return pack_words(masked, terms.word_bits)


def _terms(
    client: _Client, payload: Payload, state: ClientState, action: str, stages: tuple[Stage, ...]
) -> Terms:
    """Return the terms of the round the message is about, if it comes at the right stage."""
    round_num = integer(payload, "round_num")
    if state.terms is None or round_num != state.round_num or state.stage not in stages:
        what = f"`{action}` for round {round_num} when it is {state.stage.value}"
        raise refusal(client.client_id, state.round_num, what)
    return state.terms


def _streams(terms: Terms, client_id: int, others: Iterable[int]) -> list[Stream]:
    """Return the streams that the round takes key from, with some neighbours."""
    both = (s for peer in others for s in ((client_id, peer), (peer, client_id)))
    return [stream for stream in both if stream_bytes(terms, stream)]


def _give_up(client: _Client, state: ClientState, round_num: int) -> ClientState:
    _burn_all(client, state)
    return ClientState(round_num, Stage.ENDED)


def _burn_all(client: _Client, state: ClientState) -> None:
    """Give up what is left of the pads of the state's round."""
    if state.terms is not None:
        me, terms = client.client_id, state.terms
        client.keys.burn(state.round_num, me, _streams(terms, me, peers(terms, me)))
