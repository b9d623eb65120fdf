"""Protocol A, server side: a ring sum under pairwise one-time pads over the complete graph.

Client i sends y_i = x_i + sum_{j>i} K_ij - sum_{j<i} K_ij mod 2^w, where x_i are its d quantised
words, K_ij is the pad of clients i and j for this round and j runs over the members U1; in the
sum over U1 every pad appears once with each sign (QuNetQFL, arXiv:2501.12709; the sign is a
convention).

RESERVE  to the cohort: set aside ceil(w*d/8) pad bytes with every other client.
READY    after local training: those who answer are U1. Dropping out until here costs nothing;
         pads between a member and a drop-out are burned.
UPLOAD   publishes U1 and collects y_i, in pieces where that saves memory. If anyone of U1 is
         missing at the deadline the round is over: pads are burned, nothing is masked again.

Who learns what, with true one-time pads and without any computational assumption:
- A server that follows the protocol learns the sum over U1 and who is in it. Together with T
  clients it learns the sum over the honest members of U1; with all but one of them colluding,
  that is the last one's update. No exact sum can do better; only noise at the clients can.
- A server that does not follow it can tell clients different U1, so that groups of them close
  their masks on their own, and learn one sum per group of 2 or more members. Clients see only
  that their own list is sound. This version does not cross-check the lists.
- The network sees sizes, timing, the public lists and uniform noise. There is no MAC yet: who can
  alter messages can corrupt the sum unnoticed or end the round, but not read an update.
"""

from collections.abc import Generator
from typing import NamedTuple

import numpy as np

from fedket.errors import ProtocolError
from fedket.secure.phases import Failure, Outcome, Outcomes, Phase, Reply, Server, octets
from fedket.secure.words import Words, packed_size, unpack_words, word_dtype


class RingSum(NamedTuple):
    """The outcome of a round.

    Attributes:
        words: Sum over the members, shape (num_words,), in the container of `word_dtype`, wrapped
            there; its low `word_bits` bits are the sum.
        members: Clients in the sum (U1).
        upload_bytes: Bytes of masked words received.
        key_bits: Pad bits set aside for the cohort, each pair counted once; all are used up.
    """

    words: Words
    members: tuple[int, ...]
    upload_bytes: int
    key_bits: int


def pairwise_server(
    round_num: int,
    cohort: tuple[int, ...],
    num_words: int,
    word_bits: int,
    chunk_words: int | None = None,
    deadline: float = 60.0,
) -> Server[RingSum]:
    """Return the server generator of one round.

    Args:
        round_num: Round number; clients refuse one that does not go up.
        cohort: Client ids, ascending, at least 2.
        num_words: Words per client (d).
        word_bits: Bits per word (w).
        chunk_words: Words per UPLOAD phase, a multiple of 8; None sends all at once. Smaller
            pieces bound the memory for pads in a simulation and the size of messages.
        deadline: Seconds that clients have for each phase.

    Raises:
        ProtocolError: Fewer than 2 clients, a bad chunk size, or a member of U1 failed.
    """
    chunk = chunk_words or 8 * packed_size(num_words, 1)
    if chunk % 8 or chunk < 0:
        raise ProtocolError(f"chunk_words must be a positive multiple of 8, got {chunk_words}")
    _check_hidden(round_num, cohort, {})
    request = {"round_num": round_num, "num_words": num_words, "word_bits": word_bits}
    reserved = yield Phase("reserve", cohort, {**request, "cohort": list(cohort)}, deadline)
    members = _answered(cohort, reserved)
    ready = yield Phase("ready", members, {"round_num": round_num}, deadline)
    members = _answered(members, ready)
    try:
        _check_hidden(round_num, members, {**reserved, **ready})
        ring_sum, upload_bytes = yield from _collect(
            round_num, members, num_words, word_bits, chunk, deadline
        )
    except ProtocolError:
        yield Phase("abort", cohort, {"round_num": round_num}, deadline)
        raise
    num_pairs = len(cohort) * (len(cohort) - 1) // 2
    key_bits = num_pairs * 8 * packed_size(num_words, word_bits)
    return RingSum(ring_sum, members, upload_bytes, key_bits)


def _collect(
    round_num: int,
    members: tuple[int, ...],
    num_words: int,
    word_bits: int,
    chunk: int,
    deadline: float,
) -> Generator[Phase, Outcomes, tuple[Words, int]]:
    """Yield the UPLOAD phases; return the ring sum and the bytes received."""
    total = np.zeros(num_words, word_dtype(word_bits))
    upload_bytes = 0
    for offset in range(0, num_words, chunk):
        part = total[offset : offset + chunk]
        request = {"round_num": round_num, "offset": offset, "num_words": part.size}
        outcomes = yield Phase("upload", members, {**request, "members": list(members)}, deadline)
        for client_id in members:
            data = octets(_reply(round_num, client_id, outcomes).payload, "words")
            part += unpack_words(data, part.size, word_bits)
            upload_bytes += len(data)
    return total, upload_bytes


def _answered(asked: tuple[int, ...], outcomes: Outcomes) -> tuple[int, ...]:
    """Return the clients that replied, in the order of the cohort."""
    return tuple(i for i in asked if isinstance(outcomes.get(i), Reply))


def _reply(round_num: int, client_id: int, outcomes: Outcomes) -> Reply:
    outcome: Outcome = outcomes.get(client_id, Failure("no answer"))
    if isinstance(outcome, Failure):
        raise ProtocolError(
            f"client {client_id} was ready in round {round_num} but did not deliver its masked "
            f"update ({outcome.reason}); the masks of the others cannot be removed: the round is "
            "lost and its keys are burned; go on with the next round"
        )
    return outcome


def _check_hidden(round_num: int, clients: tuple[int, ...], outcomes: Outcomes) -> None:
    if len(clients) < 2:
        reasons = [o.reason for o in outcomes.values() if isinstance(o, Failure)]
        raise ProtocolError(
            f"masked aggregation hides nothing with fewer than 2 clients; in round {round_num} "
            f"there are {len(clients)} ({list(clients)}"
            + (f"; {len(reasons)} dropped out, the first: {reasons[0]}" if reasons else "")
            + "); let more clients take part in a round, or set aggregation.kind = "
            '"plain" if their updates need no protection'
        )
