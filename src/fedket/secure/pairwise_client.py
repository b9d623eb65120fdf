"""Protocol A, client side: checks what the server says, and masks one update once per round.

The state is what the client remembers between messages. A message about an earlier round changes
nothing; any other message that breaks the protocol ends the round for this client: its pads are
burned and every further request of that round is refused. A repeated request gets the same bytes
again, never another update under the same pads.

`round_num` only goes up within the life of the state: a client that restarts must start in a new
round with a new update, since the same update under fresh pads in another group is a leak.
"""

import enum
import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from fedket.errors import FedketError, ProtocolError
from fedket.secure.phases import Failure, Handler, Outcome, Payload, Reply, integer, integers
from fedket.secure.words import Words, pack_words, packed_size, unpack_words, word_dtype
from fedket.types import KeySource


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
        cohort: Clients with whom pads are reserved, itself included, ascending.
        num_words: Words per client.
        word_bits: Bits per word.
        words: The quantised update, fixed at READY and dropped when all of it is sent. Private.
        members: U1 as the server published it.
        num_sent: Words masked and sent so far.
        sent: (offset, number of words) -> masked bytes, for repeated requests.
    """

    round_num: int = 0
    stage: Stage = Stage.IDLE
    cohort: tuple[int, ...] = ()
    num_words: int = 0
    word_bits: int = 0
    words: Words | None = None
    members: tuple[int, ...] = ()
    num_sent: int = 0
    sent: Mapping[tuple[int, int], bytes] = {}

    def __repr__(self) -> str:
        return f"ClientState(round {self.round_num}, {self.stage.value}, update hidden)"


class _Client(NamedTuple):
    client_id: int
    keys: KeySource
    update: Callable[[int], Words | None]


def pairwise_client(
    client_id: int, keys: KeySource, update: Callable[[int], Words | None]
) -> Handler[ClientState]:
    """Return the handler of one client.

    Args:
        client_id: This client.
        keys: Where its pads come from.
        update: Round number -> quantised words, shape (num_words,), or None when there is no
            usable update (then the client drops out before READY, at no cost to the others).
    """
    return partial(_handle, _Client(client_id, keys, update))


def _handle(
    client: _Client, action: str, payload: Payload, state: ClientState
) -> tuple[Outcome, ClientState]:
    try:
        round_num = integer(payload, "round_num")
        if action not in STEPS or round_num < state.round_num:
            raise ProtocolError(
                f"client {client.client_id} is in round {state.round_num} and refuses `{action}` "
                f"for round {round_num}; rounds only go up, actions are {', '.join(STEPS)}"
            )
    except ProtocolError as error:
        return Failure(str(error)), state
    try:
        return STEPS[action](client, payload, state)
    except FedketError as error:
        _burn(client, state, state.cohort)
        return Failure(str(error)), ClientState(round_num, Stage.ENDED)


def _reserve(client: _Client, payload: Payload, state: ClientState) -> tuple[Outcome, ClientState]:
    asked = ClientState(
        integer(payload, "round_num"),
        Stage.RESERVED,
        integers(payload, "cohort"),
        integer(payload, "num_words"),
        integer(payload, "word_bits"),
    )
    if asked == state:
        return Reply({}), state
    if asked.round_num == state.round_num:
        raise _refusal(client, state, "a second `reserve`, but rounds only go up")
    if not _is_ascending(asked.cohort) or client.client_id not in asked.cohort:
        raise _refusal(client, asked, f"cohort {list(asked.cohort)}: not ascending or without it")
    if len(asked.cohort) < 2 or asked.num_words < 1:
        raise _refusal(client, asked, f"{len(asked.cohort)} clients, {asked.num_words} words")
    word_dtype(asked.word_bits)
    _burn(client, state, state.cohort)
    num_bytes = packed_size(asked.num_words, asked.word_bits)
    try:
        client.keys.reserve(
            asked.round_num, client.client_id, _peers(client, asked.cohort), num_bytes
        )
    except FedketError:
        _burn(client, asked, asked.cohort)
        raise
    return Reply({}), asked


def _ready(client: _Client, payload: Payload, state: ClientState) -> tuple[Outcome, ClientState]:
    _check_stage(client, payload, state, "ready", (Stage.RESERVED, Stage.READY))
    if state.stage is Stage.READY:
        return Reply({}), state
    words = client.update(state.round_num)
    if words is None:
        raise ProtocolError(f"client {client.client_id} has no usable update this round")
    if words.shape != (state.num_words,) or words.dtype != word_dtype(state.word_bits):
        raise _refusal(
            client,
            state,
            f"{state.num_words} words of {state.word_bits} bits reserved for an update of shape "
            f"{words.shape}, {words.dtype}",
        )
    return Reply({}), state._replace(stage=Stage.READY, words=words)


def _upload(client: _Client, payload: Payload, state: ClientState) -> tuple[Outcome, ClientState]:
    _check_stage(client, payload, state, "upload", (Stage.READY, Stage.UPLOADING))
    members = integers(payload, "members")
    offset, count = integer(payload, "offset"), integer(payload, "num_words")
    if state.stage is Stage.READY:
        state = _join(client, state, members)
    if members != state.members:
        raise _refusal(
            client, state, f"members changed from {list(state.members)} to {list(members)}"
        )
    if (offset, count) in state.sent:
        return Reply({"words": state.sent[offset, count]}), state
    is_last = offset + count == state.num_words
    is_piece = offset + count < state.num_words and count % 8 == 0
    if offset != state.num_sent or count < 1 or not (is_last or is_piece):
        raise _refusal(client, state, f"words {offset}..{offset + count}, {state.num_sent} is next")
    data = _masked(client, state, offset, count)
    state = state._replace(
        num_sent=offset + count,
        sent={**state.sent, (offset, count): data},
        words=None if is_last else state.words,
    )
    return Reply({"words": data}), state


def _abort(client: _Client, payload: Payload, state: ClientState) -> tuple[Outcome, ClientState]:
    _burn(client, state, state.cohort)
    return Reply({}), ClientState(integer(payload, "round_num"), Stage.ENDED)


STEPS: dict[str, Callable[[_Client, Payload, ClientState], tuple[Outcome, ClientState]]] = {
    "reserve": _reserve,
    "ready": _ready,
    "upload": _upload,
    "abort": _abort,
}


def _join(client: _Client, state: ClientState, members: tuple[int, ...]) -> ClientState:
    """Check the published U1, burn the pads shared with drop-outs, and fix U1 for the round."""
    in_order = tuple(i for i in state.cohort if i in set(members)) == members
    if not in_order or client.client_id not in members or len(members) < 2:
        raise _refusal(
            client,
            state,
            f"members {list(members)}: they must be 2 or more of the cohort {list(state.cohort)}, "
            "in its order, this client among them",
        )
    _burn(client, state, tuple(i for i in state.cohort if i not in set(members)))
    return state._replace(stage=Stage.UPLOADING, members=members)


def _masked(client: _Client, state: ClientState, offset: int, count: int) -> bytes:
    """Add the pads of higher members and subtract those of lower ones, pair by pair; pack."""
    if state.words is None:
        raise _refusal(client, state, "more words than the update has")
    masked = np.array(state.words[offset : offset + count])
    start, num_bytes = offset * state.word_bits // 8, packed_size(count, state.word_bits)
    for peer_id in _peers(client, state.members):
        pad = client.keys.spend(state.round_num, client.client_id, peer_id, start, num_bytes)
        sign = np.add if peer_id > client.client_id else np.subtract
        sign(masked, unpack_words(pad.reveal(), count, state.word_bits), out=masked)
    return pack_words(masked, state.word_bits)


def _check_stage(
    client: _Client, payload: Payload, state: ClientState, action: str, stages: tuple[Stage, ...]
) -> None:
    if integer(payload, "round_num") != state.round_num or state.stage not in stages:
        raise _refusal(
            client,
            state,
            f"`{action}` for round {integer(payload, 'round_num')} when it is {state.stage.value}",
        )


def _burn(client: _Client, state: ClientState, clients: tuple[int, ...]) -> None:
    client.keys.burn(state.round_num, client.client_id, _peers(client, clients))


def _peers(client: _Client, clients: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(i for i in clients if i != client.client_id)


def _is_ascending(ids: tuple[int, ...]) -> bool:
    return all(low < high for low, high in itertools.pairwise(ids))


def _refusal(client: _Client, state: ClientState, what: str) -> ProtocolError:
    return ProtocolError(
        f"client {client.client_id} in round {state.round_num} refuses the server's request: "
        f"{what}; it burns its keys of the round, start a new round"
    )
