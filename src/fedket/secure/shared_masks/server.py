"""Protocol B, server side: an exact sum under shared self-masks, in spite of drop-outs.

Client i masks its update x_i with a full-length z_i of its own, y_i = x_i + z_i mod p, after it
gave every other client j a share of z_i under a one-time pad. Those whose y arrived are U1; the
sum of their masks is opened from sums of shares, and leaves the sum of their updates
(Zhao & Sun, arXiv:2101.07750; LightSecAgg, So et al., arXiv:2109.14236; with one-time pads and
one-time MACs on the links in place of their computational channels).

RESERVE  B1, to the cohort: everyone sets aside the key under which the others send it shares.
SHARE    B1: shares of z_i for all others, encrypted under key that both ends have set aside.
UPLOAD   B2: hands everyone its shares and collects y_i. Whoever has not delivered by the deadline
         is not in U1.
CONFIRM  B3, only against a malicious server: everyone tells everyone, under MACs, which U1 it was
         named.
OPEN     B4: everyone in U1 sends the sum of its shares of U1, once. U right answers open the sum
         of masks, U + 2e correct e wrong ones; with fewer the round is over.

Who learns what, with true one-time pads and without any computational assumption:
- A server that follows the protocol, together with up to T clients, learns U1 and the sum of its
  updates, hence that of the honest clients in it, U - T >= 2 of them at least. A late y says
  nothing: its z is never opened. A round that ends before OPEN says nothing; one that ends in OPEN
  may say part of the sum (one combination of its U - T blocks per answer beyond T). With more
  than T clients it learns combinations of the blocks of single updates, with U clients every
  update that was sent; n - 1 clients know the last one's from the sum alone. No exact sum can do
  better at that, only noise at the clients.
- A server that shows clients different models or weights finds nobody who uploads: what a round
  began with is under the MACs of the shares.
- A server that lies, together with up to T clients, learns no more if the plan says `malicious`:
  honest clients open one list only. Without, it can name them different U1 and learn the
  difference of two sums, one client's update. It can always end rounds and leave clients out.
- A client that lies can spoil rounds (inconsistent shares, wrong answers beyond e) and falsify its
  own update, but reads nothing. Among exactly U answers a wrong one goes unnoticed.
- The network, if it reads everything, can add up what the server adds up: the sum over U1, and no
  more. Shares are authenticated from client to client, the rest with `fedket.secure.channel`,
  without which who can alter messages can falsify the sum and name U1 like a server that lies.
"""

from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Int64

from fedket.errors import ProtocolError, RoundLostError
from fedket.secure.begun import STATEMENT_BYTES
from fedket.secure.mac import TAG_BYTES
from fedket.secure.phases import (
    Failure,
    Outcome,
    Outcomes,
    Payload,
    Phase,
    Server,
    integers,
    octets,
)
from fedket.secure.shared_masks.field import Residues, centre_lift, subtract, unpack_residues
from fedket.secure.shared_masks.messages import cut
from fedket.secure.shared_masks.plan import Plan, Terms, is_part, key_of_round, plan_payload
from fedket.secure.shared_masks.sharing import open_shares
from fedket.secure.words import packed_size

Answer = TypeVar("Answer")


class _Server(NamedTuple):
    terms: Terms
    deadline: float
    reasons: dict[int, str]
    """Client -> why it did not do its part; filled as the round goes on."""


class IntegerSum(NamedTuple):
    """The outcome of a round.

    Attributes:
        total: Sum over the members, shape (num_values,), exact.
        members: Clients in the sum (U1), ascending.
        corrected: Clients whose opening was wrong and has been corrected.
        missing: Client of the cohort that is not in the sum -> why.
    """

    total: Int64[np.ndarray, " values"]
    members: tuple[int, ...]
    corrected: tuple[int, ...]
    missing: Mapping[int, str]


_UNSOUND = "too few of the others hold a sound share of its mask"


Announced = Mapping[int, tuple[int, bytes]]
"""What a client sent in RESERVE: peer -> where their stream begins, and the tag of that."""


class Deal(NamedTuple):
    """What a client sent in SHARE.

    Attributes:
        shares: Peer -> the share, encrypted.
        stated: What the client says of the round's beginning.
    """

    shares: Mapping[int, bytes]
    stated: bytes


class Upload(NamedTuple):
    """What a client sent in UPLOAD.

    Attributes:
        held: Clients whose shares it holds.
        residues: Its update under its mask, shape (num_values,).
    """

    held: set[int]
    residues: Residues


def shared_masks_server(terms: Terms, deadline: float = 60.0) -> Server[IntegerSum]:
    """Return the server generator of one round; authenticate it with `fedket.secure.channel`.

    Args:
        terms: From `terms_of`; the clients hold the same plan.
        deadline: Seconds that clients have for each phase.

    Raises:
        RoundLostError: Fewer than U clients are left.
        ProtocolError: More openings are wrong than can be corrected. Either way the round is over
            without a sum, and its keys are burned.
    """
    try:
        return (yield from _round(_Server(terms, deadline, {})))
    except ProtocolError:
        yield Phase("abort", terms.cohort, {"round_num": terms.round_num}, deadline)
        raise


def num_messages(plan: Plan) -> int:
    """Return the most phases of a round, for its MAC keys: B1 takes two, and one is to abort."""
    return 6 if plan.malicious else 5


def _round(server: _Server) -> Server[IntegerSum]:
    terms, field = server.terms, server.terms.sharing.field
    deals = yield from _collect_deals(server, (yield from _collect_offsets(server)))
    uploads = yield from _collect_uploads(server, deals)
    alive = _openable(server, uploads)
    missing = {i: server.reasons.get(i, _UNSOUND) for i in terms.cohort if i not in alive}
    opening = yield from _announce(server, alive)
    opening = opening._replace(answer_bytes=terms.pad_bytes)
    opened = yield from _ask(server, opening, _read_residues(terms, terms.share_length))
    masks = open_shares(terms.sharing, {terms.cohort.index(i): opened[i] for i in opened})
    mask = masks.blocks.reshape(-1)[: terms.plan.num_values]
    total = np.add.reduce([uploads[i].residues for i in alive]) % np.uint64(field.modulus)
    corrected = tuple(terms.cohort[place] for place in masks.wrong)
    return IntegerSum(centre_lift(field, subtract(field, total, mask)), alive, corrected, missing)


def _collect_offsets(server: _Server) -> Generator[Phase, Outcomes, dict[int, Announced]]:
    """B1: let everyone set aside the key under which it gets its shares.

    All key between clients is in the accounts here; MAC keys with the server are in the first
    phase.
    """
    terms, key = server.terms, key_of_round(server.terms)
    request = {**plan_payload(terms.plan), "cohort": list(terms.cohort)}
    phase = _phase(server, "reserve", terms.cohort, request)
    phase = phase._replace(pad_bits=key.pad, mac_bits=key.mac)
    return (yield from _ask(server, phase, partial(_read_offsets, terms)))


def _read_offsets(terms: Terms, client_id: int, payload: Payload) -> Announced:
    peers, offsets = terms.peers(client_id), integers(payload, "offsets")
    tags = cut(octets(payload, "tags"), TAG_BYTES)
    if not len(offsets) == len(tags) == len(peers):
        raise ProtocolError(
            f"client {client_id} sent {len(offsets)} offsets and {len(tags)} tags for {len(peers)} "
            "peers; all parties must agree on the cohort"
        )
    return dict(zip(peers, zip(offsets, tags, strict=True), strict=True))


def _collect_deals(
    server: _Server, announced: Mapping[int, Announced]
) -> Generator[Phase, Outcomes, dict[int, Deal]]:
    """B1: ask everyone for shares of a mask, for those who have set aside key for them."""
    each: dict[int, Payload] = {}
    for i in announced:
        senders = [sender for sender in announced if sender != i]
        offsets, tags = zip(*(announced[sender][i] for sender in senders), strict=True)
        each[i] = {"senders": senders, "offsets": list(offsets), "tags": b"".join(tags)}
    phase = _phase(server, "share", tuple(announced), {}, each)
    phase = phase._replace(answer_bytes=(len(announced) - 1) * server.terms.pad_bytes)
    return (yield from _ask(server, phase, partial(_read_deal, server.terms)))


def _read_deal(terms: Terms, client_id: int, payload: Payload) -> Deal:
    peers, stated = integers(payload, "peers"), octets(payload, "stated")
    sealed = cut(octets(payload, "shares"), terms.pad_bytes + TAG_BYTES)
    sound = is_part(peers, terms.peers(client_id)) and len(sealed) == len(peers)
    if not sound or len(stated) != STATEMENT_BYTES:
        raise ProtocolError(
            f"client {client_id} sent {len(sealed)} shares for clients {list(peers)} and "
            f"{len(stated)} bytes about the round; all parties must agree on the cohort and run "
            "the same version of fedket"
        )
    return Deal(dict(zip(peers, sealed, strict=True)), stated)


def _collect_uploads(
    server: _Server, deals: Mapping[int, Deal]
) -> Generator[Phase, Outcomes, dict[int, Upload]]:
    """B2: hand everyone its shares, and collect masked updates."""
    each: dict[int, Payload] = {}
    for i in deals:
        senders = [j for j in deals if i in deals[j].shares]
        shares = b"".join(deals[j].shares[i] for j in senders)
        stated = b"".join(deals[j].stated for j in senders)
        each[i] = {"senders": senders, "shares": shares, "stated": stated}
    phase = _phase(server, "upload", tuple(deals), {}, each)
    size = packed_size(server.terms.plan.num_values, server.terms.sharing.field.bits)
    phase = phase._replace(answer_bytes=size)
    read = _read_residues(server.terms, server.terms.plan.num_values)
    return (
        yield from _ask(
            server, phase, lambda i, said: Upload(set(integers(said, "held")), read(i, said))
        )
    )


def _openable(server: _Server, uploads: Mapping[int, Upload]) -> tuple[int, ...]:
    """Return U1: those who delivered, less those whose shares too few of the others hold."""
    terms, alive = server.terms, tuple(uploads)
    held = {i: upload.held for i, upload in uploads.items()}
    while len(alive) >= terms.plan.threshold:
        if sum(held[j].issuperset(alive) for j in alive) >= terms.plan.threshold:
            return alive
        holders = {i: sum(i in held[j] for j in alive) for i in alive}
        worst = min(alive, key=holders.__getitem__)
        alive = tuple(i for i in alive if i != worst)
    raise RoundLostError(
        f"in round {terms.round_num} no {terms.plan.threshold} clients hold sound shares of each "
        "other; the round is over without a sum: look for altered messages, start a new round",
        server.reasons,
    )


def _announce(server: _Server, alive: tuple[int, ...]) -> Generator[Phase, Outcomes, Phase]:
    """B3: name U1 and, with `malicious`, let it be confirmed; return the request to open."""
    dropped = [i for i in server.terms.cohort if i not in alive]
    request: Payload = {"alive": list(alive), "dropped": dropped}
    if not server.terms.plan.malicious:
        return _phase(server, "open", alive, request)
    confirm = _phase(server, "confirm", alive, request)
    tags = yield from _ask(server, confirm, partial(_read_confirmation, alive))
    each: dict[int, Payload] = {}
    for i in tags:
        others = [j for j in tags if j != i]
        each[i] = {"confirmed": others, "tags": b"".join(tags[j][i] for j in others)}
    return _phase(server, "open", tuple(tags), request, each)


def _read_confirmation(
    alive: tuple[int, ...], client_id: int, payload: Payload
) -> dict[int, bytes]:
    """Return a client's tags by the client they are for."""
    others, tags = [i for i in alive if i != client_id], cut(octets(payload, "tags"), TAG_BYTES)
    if len(tags) != len(others):
        raise ProtocolError(f"client {client_id} sent {len(tags)} tags for {len(others)} others")
    return dict(zip(others, tags, strict=True))


def _read_residues(terms: Terms, num_residues: int) -> Callable[[int, Payload], Residues]:
    def read(_: int, payload: Payload) -> Residues:
        return unpack_residues(terms.sharing.field, octets(payload, "residues"), num_residues)

    return read


def _ask(
    server: _Server, phase: Phase, read: Callable[[int, Payload], Answer]
) -> Generator[Phase, Outcomes, dict[int, Answer]]:
    """Yield a phase; return what `read` makes of the answers; it raises on one that is no answer.

    Raises:
        RoundLostError: Fewer than U clients are left.
    """
    outcomes = yield phase
    answers, failed = {}, {}
    for client_id in phase.to:
        outcome: Outcome = outcomes.get(client_id, Failure("no answer"))
        try:
            if isinstance(outcome, Failure):
                raise ProtocolError(outcome.reason)
            answers[client_id] = read(client_id, outcome.payload)
        except ProtocolError as error:
            failed[client_id] = str(error)
    server.reasons.update(failed)
    terms = server.terms
    if len(answers) < terms.plan.threshold:
        first = next(iter(failed.values()), "")
        raise RoundLostError(
            f"{len(answers)} of {len(terms.cohort)} clients are left after `{phase.action}` in "
            f"round {terms.round_num}, {terms.plan.threshold} must be"
            + (f" (the first failure: {first})" if first else "")
            + "; the round is over without a sum: start a new one with new updates",
            server.reasons,
        )
    return answers


def _phase(
    server: _Server,
    action: str,
    to: tuple[int, ...],
    payload: Payload | None = None,
    each: Mapping[int, Payload] | None = None,
) -> Phase:
    request = {"round_num": server.terms.round_num, **(payload or {})}
    return Phase(action, to, request, server.deadline, each or {})
