"""Protocol B, client side: shares one mask, sends one masked update, opens one sum per round.

The state is what the client remembers between messages. A message about an earlier round changes
nothing; any other message that breaks the protocol ends the round for this client: its keys are
burned and every further request of that round is refused. Sizes, thresholds and mode are the
client's own `Plan`, never the server's. `fedket.secure.channel` around this handler knows the
server from others and answers a repeated request with the same bytes.

A restarted client starts in a new round with a new update: the same update in two rounds shows,
in the difference of the sums, who was alive in one of them only.
"""

import enum
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from fedket.errors import FedketError, ProtocolError
from fedket.secure.begun import STATEMENT_BYTES, difference
from fedket.secure.client_steps import stepwise
from fedket.secure.mac import TAG_BYTES
from fedket.secure.phases import (
    Handler,
    Payload,
    Reply,
    integer,
    integers,
    octets,
)
from fedket.secure.shared_masks.alive import check_confirmed, confirm_alive, read_alive
from fedket.secure.shared_masks.field import (
    Residues,
    add,
    pack_residues,
    random_residues,
    residues_of,
)
from fedket.secure.shared_masks.messages import (
    RESERVE,
    accept_announced,
    cut,
    refusal,
    seal_share,
    tag_message,
    unseal_share,
)
from fedket.secure.shared_masks.plan import Plan, Terms, is_part, plan_payload, terms_of
from fedket.secure.shared_masks.sharing import share_blocks
from fedket.types import KeySource, Stream

Update = Callable[[int], Int64[np.ndarray, " values"] | None]
"""Round number -> integers within +-(2^(bits-1) - 1), or None; never the same in two rounds."""


class Stage(enum.Enum):
    """How far a client is in its latest round."""

    IDLE = "idle"
    RESERVED = "reserved"
    SHARED = "shared"
    UPLOADED = "uploaded"
    CONFIRMED = "confirmed"
    ENDED = "ended"


class ClientState(NamedTuple):
    """What a client remembers; `ClientState()` has seen no round.

    Attributes:
        round_num: Latest round taken part in, or refused.
        stage: How far it is.
        terms: Terms of the round while it lasts.
        offsets: Where the round begins in every stream of this client.
        mask: The self-mask, shape (num_values,), until it is used. Secret.
        held: Client -> its share that this client holds, shape (share_length,). Secret.
        alive: Whose sum this client has confirmed, against a malicious server.
    """

    round_num: int = 0
    stage: Stage = Stage.IDLE
    terms: Terms | None = None
    offsets: Mapping[Stream, int] = {}
    mask: Residues | None = None
    held: Mapping[int, Residues] = {}
    alive: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"ClientState(round {self.round_num}, {self.stage.value}, mask and shares hidden)"


Step = tuple[Reply, ClientState]


class _Client(NamedTuple):
    client_id: int
    keys: KeySource
    update: Update
    plan: Plan
    stated: bytes


def shared_masks_client(
    client_id: int,
    keys: KeySource,
    update: Update,
    plan: Plan,
    stated: bytes = bytes(STATEMENT_BYTES),
) -> Handler[ClientState]:
    """Return the handler of one client.

    Args:
        client_id: This client, 0 or more.
        keys: Its ends of the streams from and to the other clients.
        update: What to contribute, asked for once per round; None when there is no usable update
            (then the client drops out, at no cost to the others).
        plan: What this client has agreed to; it refuses a request that says otherwise.
        stated: What it says of the round's beginning, `fedket.secure.begun`; it has nothing to do
            with a client that says something else.
    """
    return stepwise(_Client(client_id, keys, update, plan, stated), STEPS, _give_up)


def _reserve(client: _Client, payload: Payload, state: ClientState) -> Step:
    """B1: set aside the key under which the others send their shares here, and tell them where."""
    if integer(payload, "round_num") == state.round_num:
        raise refusal(client.client_id, payload, "a second `reserve`, but rounds only go up")
    agreed = plan_payload(client.plan)
    asked = {field: integer(payload, field) for field in agreed}
    if asked != agreed:
        raise refusal(client.client_id, payload, f"terms {asked}, agreed are {agreed}")
    terms = terms_of(client.plan, integer(payload, "round_num"), integers(payload, "cohort"))
    if client.client_id not in terms.cohort:
        raise refusal(client.client_id, payload, f"a cohort without it, {list(terms.cohort)}")
    _burn(client, state.terms)
    try:
        return _announce(client, terms)
    except FedketError:
        _burn(client, terms)
        raise


def _announce(client: _Client, terms: Terms) -> Step:
    me = client.client_id
    streams = [(me, peer) for peer in terms.peers(me)]
    offsets = client.keys.reserve(terms.round_num, me, dict.fromkeys(streams, terms.stream_bytes))
    tags = b"".join(tag_message(client.keys, terms, RESERVE, s, offsets[s]) for s in streams)
    answer = Reply({"offsets": [offsets[s] for s in streams], "tags": tags})
    return answer, ClientState(terms.round_num, Stage.RESERVED, terms, offsets)


def _share(client: _Client, payload: Payload, state: ClientState) -> Step:
    """B1: draw a mask, share it, send everybody its share under the key that it has set aside.

    Who did not, as far as its tag shows, gets none.
    """
    terms, me = _terms(client, payload, state, "share", Stage.RESERVED), client.client_id
    senders, starts = integers(payload, "senders"), integers(payload, "offsets")
    tags, field = cut(octets(payload, "tags"), TAG_BYTES), terms.sharing.field
    if not is_part(senders, terms.peers(me)) or not len(senders) == len(starts) == len(tags):
        raise refusal(me, payload, f"{len(tags)} tags of clients {list(senders)}")
    told = {(i, me): start for i, start in zip(senders, starts, strict=True)}
    streams = accept_announced(client.keys, terms, me, told, tags)
    blocks = random_residues(field, (terms.num_blocks, terms.share_length))
    noise = random_residues(field, (terms.plan.colluders, terms.share_length))
    shares = dict(zip(terms.cohort, share_blocks(terms.sharing, blocks, noise), strict=True))
    sealed = b"".join(
        seal_share(client.keys, terms, s, told[s], shares[s[0]], client.stated) for s in streams
    )
    peers = [peer for peer, _ in streams]
    answer = Reply({"peers": peers, "shares": sealed, "stated": client.stated})
    mask = blocks.reshape(-1)[: terms.plan.num_values]
    held = {me: shares[me].copy()}  # not a view, which would keep all shares
    offsets = {**state.offsets, **told}
    return answer, state._replace(stage=Stage.SHARED, offsets=offsets, mask=mask, held=held)


def _upload(client: _Client, payload: Payload, state: ClientState) -> Step:
    """B2: take the shares of the others, send x + z mod p."""
    terms = _terms(client, payload, state, "upload", Stage.SHARED)
    held = _unsealed(client, terms, payload, state)
    values, field = client.update(terms.round_num), terms.sharing.field
    if values is None or state.mask is None:
        raise ProtocolError(f"client {client.client_id} has no usable update this round")
    limit = field.modulus // 2  # noise may take a value beyond its share of that
    fits = (values >= -limit) & (values <= limit)
    if values.shape != state.mask.shape or not fits.all():
        raise ProtocolError(
            f"client {client.client_id} has {values.size} values, {np.count_nonzero(fits)} of them "
            f"within +-{limit}; the plan takes {terms.plan.num_values}, all of them within: "
            "quantise with its bits"
        )
    data = pack_residues(field, add(field, residues_of(field, values), state.mask))
    state = state._replace(stage=Stage.UPLOADED, mask=None, held=held)
    return Reply({"held": sorted(held), "residues": data}), state


def _unsealed(
    client: _Client, terms: Terms, payload: Payload, state: ClientState
) -> dict[int, Residues]:
    """Return the shares that this client holds; one that fails its MAC is as good as missing.

    Whoever says under its MAC that the round began otherwise there ends the round here.
    """
    me, senders = client.client_id, integers(payload, "senders")
    messages = cut(octets(payload, "shares"), terms.pad_bytes + TAG_BYTES)
    stated = cut(octets(payload, "stated"), STATEMENT_BYTES)
    if not is_part(senders, terms.peers(me)) or not len(senders) == len(messages) == len(stated):
        raise refusal(me, payload, f"{len(messages)} shares from clients {list(senders)}")
    held = dict(state.held)
    for i, message, said in zip(senders, messages, stated, strict=True):
        try:
            start = state.offsets[me, i]
            share = unseal_share(client.keys, terms, (me, i), start, message, said)
        except FedketError:
            continue
        if said != client.stated:
            lie = difference(client.stated, said)
            raise refusal(me, payload, f"client {i} was shown {lie}; the server lied")
        held[i] = share
    return held


def _confirm(client: _Client, payload: Payload, state: ClientState) -> Step:
    """B3: tell the others, under MACs, whose sum the server wants to open; one list per round."""
    terms, me = _terms(client, payload, state, "confirm", Stage.UPLOADED), client.client_id
    alive = _held_of(client, payload, state, read_alive(terms, me, payload))
    tags = confirm_alive(client.keys, terms, me, state.offsets, alive, client.stated)
    return Reply({"tags": tags}), state._replace(stage=Stage.CONFIRMED, alive=alive)


def _open(client: _Client, payload: Payload, state: ClientState) -> Step:
    """B4: send the sum of the shares of those alive, once."""
    malicious, me = client.plan.malicious, client.client_id
    before = Stage.CONFIRMED if malicious else Stage.UPLOADED
    terms = _terms(client, payload, state, "open", before)
    alive = _held_of(client, payload, state, read_alive(terms, me, payload))
    if malicious and alive != state.alive:
        raise refusal(me, payload, f"clients {list(alive)}, it confirmed {list(state.alive)}")
    if malicious:
        check_confirmed(client.keys, terms, me, state.offsets, alive, client.stated, payload)
    total = np.add.reduce([state.held[i] for i in alive])
    total %= np.uint64(terms.sharing.field.modulus)
    data = pack_residues(terms.sharing.field, total)
    _burn(client, terms)
    return Reply({"residues": data}), ClientState(terms.round_num, Stage.ENDED)


def _held_of(
    client: _Client, payload: Payload, state: ClientState, alive: tuple[int, ...]
) -> tuple[int, ...]:
    """Return U1 if this client holds a share of everybody in it: they have its key behind them."""
    if missing := [i for i in alive if i not in state.held]:
        what = f"it holds no sound share of clients {missing}"
        raise refusal(client.client_id, payload, what)
    return alive


def _abort(client: _Client, payload: Payload, state: ClientState) -> Step:
    _burn(client, state.terms)
    return Reply({}), ClientState(integer(payload, "round_num"), Stage.ENDED)


STEPS: dict[str, Callable[[_Client, Payload, ClientState], Step]] = {
    "reserve": _reserve,
    "share": _share,
    "upload": _upload,
    "confirm": _confirm,
    "open": _open,
    "abort": _abort,
}


def _terms(
    client: _Client, payload: Payload, state: ClientState, action: str, stage: Stage
) -> Terms:
    """Return the terms of the round if the client is where `action` is due."""
    in_round = integer(payload, "round_num") == state.round_num
    if state.terms is None or state.stage is not stage or not in_round:
        what = f"`{action}` when it is {state.stage.value} in round {state.round_num}"
        raise refusal(client.client_id, payload, what)
    return state.terms


def _give_up(client: _Client, state: ClientState, round_num: int) -> ClientState:
    _burn(client, state.terms)
    return ClientState(round_num, Stage.ENDED)


def _burn(client: _Client, terms: Terms | None) -> None:
    if terms is not None:
        me = client.client_id
        streams = [stream for i in terms.peers(me) for stream in ((me, i), (i, me))]
        client.keys.burn(terms.round_num, me, streams)
