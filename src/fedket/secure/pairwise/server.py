"""Protocol A, server side: a ring sum under pairwise one-time pads.

Client i sends y_i = x_i + sum_{j>i} K_ij - sum_{j<i} K_ij mod 2^w, where x_i are its d quantised
words, K_ij is the pad of clients i and j for this round and j runs over i's neighbours in the
graph that are members, U1; in the sum over U1 every pad appears once with each sign (QuNetQFL,
arXiv:2501.12709; the sign is a convention). K_ij comes from the stream from the lower id to the
higher: the lower one allocates it and announces its offset.

RESERVE  to the cohort: every client sets aside the pads it sends and answers with their offsets.
READY    passes the offsets on, and after local training those who answer are U1. Dropping out
         until here costs nothing; pads between a member and a drop-out are burned.
CONFIRM  with `confirm`: publishes U1; neighbours tell each other, under MACs, what they were shown.
UPLOAD   publishes U1 and collects y_i, in pieces where that saves memory. If anyone of U1 is
         missing at the deadline the round is over: pads are burned, nothing is masked again.

Messages are authenticated by `channel.authenticated_server` around this generator; without it
(the naive variant, for tests of attacks) whoever is on the way can alter a sum unnoticed.

Who learns what, with true one-time pads and MAC keys and no computational assumption:
- A server that follows the protocol learns the sum over U1 and who is in it. Together with T
  clients it learns one sum per connected component of the other members of U1; that is one sum,
  except with the probability in `graph`. With all but one of U1 colluding, it is the last one's
  update. No exact sum can do better; only noise at the clients can.
- A server that does not follow it can show clients different models or weights, so that "the sum"
  is one client's update, and different U1, so that groups of 2 or more members close their masks
  on their own. With `confirm` clients upload only if all their neighbours were shown the same; it
  then learns one sum, over as many as it says are there: 2 are enough.
- The network sees sizes, timing, the public lists and uniform noise. It can end a round, and the
  keys of a round that ended are lost; it cannot read an update nor change a sum.
"""

from collections.abc import Generator, Mapping
from typing import NamedTuple

import numpy as np

from fedket.errors import FedketError, ProtocolError, RoundLostError
from fedket.secure.begun import STATEMENT_BYTES
from fedket.secure.mac import TAG_BYTES
from fedket.secure.pairwise.graph import is_connected
from fedket.secure.pairwise.terms import (
    Terms,
    check_terms,
    graph_of,
    mac_bits,
    pad_bits,
    peers,
    receivers,
    senders,
    terms_payload,
    too_few,
)
from fedket.secure.phases import (
    Failure,
    Outcome,
    Outcomes,
    Payload,
    Phase,
    Reply,
    Server,
    integers,
    octets,
)
from fedket.secure.words import Words, packed_size, unpack_words, word_dtype


class RingSum(NamedTuple):
    """The outcome of a round.

    Attributes:
        words: Sum over the members, shape (num_words,), in the container of `word_dtype`, wrapped
            there; its low `word_bits` bits are the sum.
        members: Clients in the sum (U1).
        missing: Client of the cohort that dropped out before READY -> why.
    """

    words: Words
    members: tuple[int, ...]
    missing: Mapping[int, str]


Offers = Mapping[int, Mapping[int, int]]
"""Client -> neighbour it reserved key for -> where it begins in the stream between them."""


def pairwise_server(terms: Terms, deadline: float = 60.0) -> Server[RingSum]:
    """Return the server generator of one round.

    Args:
        terms: What the round is about, from `make_terms`.
        deadline: Seconds that clients have for each phase.

    Raises:
        RoundLostError: Fewer than 2 clients are left, a member of U1 failed, or so many dropped
            out that the masks of the others fall apart.
        ProtocolError: The terms are not sound.
    """
    check_terms(terms)
    request = terms_payload(terms)
    reserve = Phase("reserve", terms.cohort, request, deadline)
    reserved = yield reserve._replace(pad_bits=pad_bits(terms), mac_bits=mac_bits(terms))
    offers, failures = _offers(terms, reserved)
    announced = {client_id: _announcement(terms, client_id, offers) for client_id in offers}
    request = {"round_num": terms.round_num}
    outcomes = yield Phase("ready", tuple(offers), request, deadline, announced)
    members = tuple(i for i in offers if isinstance(outcomes.get(i), Reply))
    answers = {**failures, **outcomes}
    try:
        _check_members(terms, members, answers)
        confirmed = yield from _confirmations(terms, members, deadline)
        words = yield from _collect(terms, members, confirmed, deadline)
    except FedketError:
        yield Phase("abort", terms.cohort, {"round_num": terms.round_num}, deadline)
        raise
    missing = {i: _reason(answers.get(i)) for i in terms.cohort if i not in members}
    return RingSum(words, members, missing)


def _reason(outcome: Outcome | None) -> str:
    return outcome.reason if isinstance(outcome, Failure) else "gave no answer"


def _offers(terms: Terms, outcomes: Outcomes) -> tuple[Offers, Outcomes]:
    """Return the sound answers to RESERVE, and why the others are not."""
    offers, failures = {}, {}
    for client_id in terms.cohort:
        try:
            offsets = integers(_reply(client_id, outcomes).payload, "offsets")
            known = receivers(terms, client_id)
            if len(offsets) != len(known):
                raise ProtocolError(
                    f"client {client_id} sends pads to {len(known)} neighbours and announced "
                    f"{len(offsets)} offsets; all sides must run the same version of fedket"
                )
            offers[client_id] = dict(zip(known, offsets, strict=True))
        except ProtocolError as error:
            failures[client_id] = Failure(str(error))
    return offers, failures


def _announcement(terms: Terms, client_id: int, offers: Offers) -> Payload:
    """Return which pads a client receives: who sends them, and from which offset."""
    told = [i for i in senders(terms, client_id) if i in offers]
    return {"senders": told, "offsets": [offers[i][client_id] for i in told]}


def _confirmations(
    terms: Terms, members: tuple[int, ...], deadline: float
) -> Generator[Phase, Outcomes, Mapping[int, Payload]]:
    """Yield CONFIRM, if there is one; return what to pass on to each member of the others."""
    if not terms.confirm:
        return {}
    request: Payload = {"round_num": terms.round_num, "members": list(members)}
    outcomes = yield Phase("confirm", members, request, deadline)
    near = {i: [j for j in peers(terms, i) if j in members] for i in members}
    said = {i: _confirmed(terms, i, near[i], outcomes) for i in members}
    return {
        i: {
            "stated": b"".join(said[j][0] for j in near[i]),
            "tags": b"".join(said[j][1][i] for j in near[i]),
        }
        for i in members
    }


def _confirmed(
    terms: Terms, client_id: int, near: list[int], outcomes: Outcomes
) -> tuple[bytes, dict[int, bytes]]:
    """Return what a member states, and its tag for each neighbour."""
    try:
        payload = _reply(client_id, outcomes).payload
        stated, tags = octets(payload, "stated"), octets(payload, "tags")
        if len(stated) != STATEMENT_BYTES or len(tags) != TAG_BYTES * len(near):
            raise ProtocolError(f"{len(stated)} and {len(tags)} bytes are no confirmation")
    except ProtocolError as error:
        raise RoundLostError(
            f"client {client_id} was ready in round {terms.round_num} but did not confirm it "
            f"({error}); the round is lost and its keys are burned; go on with the next round",
            {client_id: str(error)},
        ) from error
    return stated, {j: tags[k * TAG_BYTES :][:TAG_BYTES] for k, j in enumerate(near)}


def _collect(
    terms: Terms, members: tuple[int, ...], confirmed: Mapping[int, Payload], deadline: float
) -> Generator[Phase, Outcomes, Words]:
    """Yield the UPLOAD phases; return the ring sum.

    Clients are asked in the order of the ring, so that one process holds few pads at a time.
    """
    total = np.zeros(terms.num_words, word_dtype(terms.word_bits))
    present = set(members)
    in_ring_order = tuple(i for i in graph_of(terms).ring if i in present)
    for offset in range(0, terms.num_words, terms.chunk_words):
        part = total[offset : offset + terms.chunk_words]
        request: Payload = {
            "round_num": terms.round_num,
            "offset": offset,
            "num_words": part.size,
            "members": list(members),
        }
        each = {} if offset else confirmed
        upload = Phase("upload", in_ring_order, request, deadline, each)
        size = packed_size(part.size, terms.word_bits)
        outcomes = yield upload._replace(answer_bytes=size)
        for client_id in members:
            part += _delivered(terms, client_id, part.size, outcomes)
    return total


def _delivered(terms: Terms, client_id: int, num_words: int, outcomes: Outcomes) -> Words:
    """Return masked words of a member."""
    try:
        data = octets(_reply(client_id, outcomes).payload, "words")
        return unpack_words(data, num_words, terms.word_bits)
    except ProtocolError as error:
        raise RoundLostError(
            f"client {client_id} was ready in round {terms.round_num} but did not deliver its "
            f"masked update ({error}); the masks of the others cannot be removed: the round is "
            "lost and its keys are burned; go on with the next round",
            {client_id: str(error)},
        ) from error


def _reply(client_id: int, outcomes: Outcomes) -> Reply:
    outcome: Outcome = outcomes.get(client_id, Failure("no answer"))
    if isinstance(outcome, Failure):
        raise ProtocolError(outcome.reason)
    return outcome


def _check_members(terms: Terms, members: tuple[int, ...], outcomes: Outcomes) -> None:
    reasons = {i: o.reason for i, o in outcomes.items() if isinstance(o, Failure)}
    if len(members) < 2:
        message = too_few(terms.round_num, members, tuple(reasons.values()))
        raise RoundLostError(message, reasons)
    if not is_connected(graph_of(terms), members):
        raise RoundLostError(
            f"{len(terms.cohort) - len(members)} of {len(terms.cohort)} clients dropped out of "
            f"round {terms.round_num}, and the masks of the others would open more than one sum; "
            "the round is lost; use a larger graph degree or more reliable clients",
            reasons,
        )
