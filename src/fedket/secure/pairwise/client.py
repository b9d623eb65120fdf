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
from fedket.secure.pairwise.graph import is_connected
from fedket.secure.pairwise.terms import (
    Terms,
    graph_of,
    higher,
    lower,
    pad_bytes,
    piece,
    read_terms,
)
from fedket.secure.phases import Handler, Outcome, Payload, Reply, integer, integers
from fedket.secure.words import Words, pack_words, packed_size, unpack_words, word_dtype
from fedket.types import KeySource, Stream


class Stage(enum.Enum):
    """How far a client is in its latest round."""

    IDLE = "idle"
    RESERVED = "reserved"
    READY = "ready"
    UPLOADING = "uploading"
    ENDED = "ended"


class ClientState(NamedTuple):
    """What a client remembers; `ClientState()` has seen no round.

    Attributes:
        round_num: Latest round taken part in, or refused.
        stage: How far it is.
        terms: Terms of the round, from RESERVE on.
        receives: Neighbour with a lower id -> offset of the pad on the stream from it.
        words: The quantised update, fixed at READY and dropped when all of it is sent. Private.
        members: U1 as the server published it.
        num_sent: Words masked and sent so far.
    """

    round_num: int = 0
    stage: Stage = Stage.IDLE
    terms: Terms | None = None
    receives: Mapping[int, int] = {}
    words: Words | None = None
    members: tuple[int, ...] = ()
    num_sent: int = 0

    def __repr__(self) -> str:
        return f"ClientState(round {self.round_num}, {self.stage.value}, update hidden)"


class _Client(NamedTuple):
    client_id: int
    keys: KeySource
    update: Callable[[Terms], Words | None]


def pairwise_client(
    client_id: int, keys: KeySource, update: Callable[[Terms], Words | None]
) -> Handler[ClientState]:
    """Return the handler of one client.

    Args:
        client_id: This client, 0 or more.
        keys: Where its pads come from.
        update: Terms of a round -> quantised words, shape (num_words,), or None when there is no
            usable update (then the client drops out before READY, at no cost to the others).
    """
    return stepwise(_Client(client_id, keys, update), STEPS, _give_up)


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
    lengths = {(me, peer): pad_bytes(terms) for peer in higher(terms, me)}
    offsets = client.keys.reserve(terms.round_num, me, lengths)
    answer = Reply({"offsets": [offsets[stream] for stream in lengths]})
    return answer, ClientState(terms.round_num, Stage.RESERVED, terms)


def _ready(client: _Client, payload: Payload, state: ClientState) -> tuple[Outcome, ClientState]:
    terms = _terms(client, payload, state, "ready", (Stage.RESERVED,))
    receives = _announced(client, terms, payload)
    me, num_bytes = client.client_id, pad_bytes(terms)
    ranges = {(i, me): (offset, num_bytes) for i, offset in receives.items()}
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
    return Reply({}), state._replace(stage=Stage.READY, words=words, receives=receives)


def _announced(client: _Client, terms: Terms, payload: Payload) -> dict[int, int]:
    """Return neighbour with a lower id -> offset of its pad, as the server passes it on."""
    senders, offsets = integers(payload, "senders"), integers(payload, "offsets")
    known = lower(terms, client.client_id)
    if senders != tuple(i for i in known if i in senders) or len(senders) != len(offsets):
        raise refusal(
            client.client_id,
            terms.round_num,
            f"{len(offsets)} pads from clients {list(senders)}; pads come from {list(known)}",
        )
    return dict(zip(senders, offsets, strict=True))


def _upload(client: _Client, payload: Payload, state: ClientState) -> tuple[Outcome, ClientState]:
    terms = _terms(client, payload, state, "upload", (Stage.READY, Stage.UPLOADING))
    members = integers(payload, "members")
    offset, count = integer(payload, "offset"), integer(payload, "num_words")
    if state.stage is Stage.READY:
        _check_members(client, terms, state, members)
        state = state._replace(stage=Stage.UPLOADING, members=members)
    if members != state.members:
        what = f"members changed from {list(state.members)} to {list(members)}"
        raise refusal(client.client_id, terms.round_num, what)
    if offset != state.num_sent or count != piece(terms, offset):
        what = f"words {offset}..{offset + count}, {state.num_sent} is next"
        raise refusal(client.client_id, terms.round_num, what)
    data = _masked(client, terms, state, offset, count)
    rest = state.words if offset + count < terms.num_words else None
    return Reply({"words": data}), state._replace(num_sent=offset + count, words=rest)


def _abort(client: _Client, payload: Payload, state: ClientState) -> tuple[Outcome, ClientState]:
    _burn_all(client, state)
    return Reply({}), ClientState(integer(payload, "round_num"), Stage.ENDED)


STEPS: dict[str, Callable[[_Client, Payload, ClientState], tuple[Outcome, ClientState]]] = {
    "reserve": _reserve,
    "ready": _ready,
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
    strangers = [i for i in lower(terms, me) if i in present and i not in state.receives]
    if strangers or not is_connected(graph_of(terms), members):
        why = f"no pad from {strangers}" if strangers else "their masks open more than one sum"
        raise refusal(client.client_id, terms.round_num, f"members {list(members)}: {why}")
    gone = (i for i in (*lower(terms, me), *higher(terms, me)) if i not in present)
    client.keys.burn(terms.round_num, me, _pads(me, gone))


def _masked(client: _Client, terms: Terms, state: ClientState, offset: int, count: int) -> bytes:
    """Add the pads of higher members and subtract those of lower ones, pair by pair; pack."""
    if state.words is None:
        raise refusal(client.client_id, terms.round_num, "more words than the update has")
    me, present = client.client_id, set(state.members)
    masked = np.array(state.words[offset : offset + count])
    start, num_bytes = offset * terms.word_bits // 8, packed_size(count, terms.word_bits)
    for peers, sign in ((higher(terms, me), np.add), (lower(terms, me), np.subtract)):
        for stream in _pads(me, (peer for peer in peers if peer in present)):
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


def _pads(client_id: int, peers: Iterable[int]) -> list[Stream]:
    """Return the streams that the pads with some peers come from."""
    return [(min(client_id, peer), max(client_id, peer)) for peer in peers]


def _give_up(client: _Client, state: ClientState, round_num: int) -> ClientState:
    _burn_all(client, state)
    return ClientState(round_num, Stage.ENDED)


def _burn_all(client: _Client, state: ClientState) -> None:
    """Give up what is left of the pads of the state's round."""
    if state.terms is not None:
        me, terms = client.client_id, state.terms
        streams = _pads(me, (*lower(terms, me), *higher(terms, me)))
        client.keys.burn(state.round_num, me, streams)
