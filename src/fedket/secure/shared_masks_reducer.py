"""The reducer of Protocol B: real phases, real pads and real bytes, in one process.

With nobody dropping out its sum equals `quantised_sum(bits, "safe", clip)` bit for bit; with
drop-outs it equals the sum of the survivors' quantised updates.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Int64

from fedket.secure.channel import ChannelState, authenticated_client, authenticated_server
from fedket.secure.metering import metered
from fedket.secure.phases import (
    Failure,
    Handler,
    Outcome,
    Payload,
    State,
    drive,
    in_process,
    integer,
)
from fedket.secure.quantise import Quantiser, dequantise
from fedket.secure.reducers import phases_traffic, quantise_round
from fedket.secure.shared_masks.client import ClientState, shared_masks_client
from fedket.secure.shared_masks.plan import Plan, terms_of
from fedket.secure.shared_masks.server import num_messages, shared_masks_server
from fedket.secure.tags import MacKeys
from fedket.secure.words import Words, word_dtype
from fedket.types import Contribution, KeySource, Reducer, RoundContext, Traffic

SILENT = "delivered no masked update"

Answers = Callable[[int, int, str], bool]
"""(round, client, action) -> whether the client answers: a model of drop-outs for simulations."""


def shared_mask_sum(
    bits: int,
    clip: float,
    key_source: KeySource,
    *,
    colluders: int,
    threshold: int,
    malicious: bool = False,
    run_id: str = "in process",
    answers: Answers | None = None,
) -> Reducer:
    """Return the reducer that adds updates under shared self-masks, see `shared_masks`.

    Rounds only go up: the same round cannot be reduced twice by one reducer or key source. Shares
    of samples are those of the whole cohort: what drop-outs would have added is missing from the
    sum, it is not spread over the others.

    Args:
        bits: Bits per value (q); values become integers as in `quantise.safe`.
        clip: Largest absolute unweighted update per coordinate.
        key_source: Streams between all parties, the server included.
        colluders: Clients that may collude with the server (T).
        threshold: Clients that must be alive until the sum opens (U), at least colluders + 2.
        malicious: Whether clients also hold out against a server that lies.
        run_id: Name of the run, part of every authenticated message.
        answers: Who answers what, for simulated drop-outs; None if everybody does.

    Raises (the reducer):
        ConfigError: `colluders` and `threshold` do not suit each other or the cohort.
        ProtocolError: Fewer than `threshold` clients are left, an update is not finite, or
            contributions and context disagree.
        KeyMaterialError: The server's own keys ran out or were used before.
    """
    last_rounds: dict[int, int] = {}
    mac = MacKeys(key_source, run_id)

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        quantiser, updates = quantise_round(contributions, context, bits, "safe", clip)
        rows = {i: u.words for i, u in zip(context.client_ids, updates, strict=True)}
        plan = Plan(run_id, len(updates[0].words), bits, colluders, threshold, malicious)
        terms = terms_of(plan, context.round_num, tuple(sorted(rows)))
        states = {i: ChannelState(ClientState(last_rounds.get(i, 0))) for i in rows}
        handlers = {
            i: shared_masks_client(i, key_source, partial(_held, quantiser, row), plan)
            for i, row in rows.items()
        }
        clients = {i: authenticated_client(handlers[i], i, mac) for i in handlers}
        if answers is not None:
            clients = {i: partial(_perhaps, answers, i, clients[i]) for i in clients}
        server = authenticated_server(
            shared_masks_server(terms), mac, context.round_num, terms.cohort, num_messages(plan)
        )
        try:
            result, phases = drive(metered(server), in_process(clients, states))
        finally:
            last_rounds.update({i: state.inner.round_num for i, state in states.items()})
        flat = dequantise(quantiser, ring_words(quantiser, result.total))
        num_clipped = sum(update.num_clipped for update in updates)
        missing = {i: f"{SILENT}: {why}" for i, why in result.missing.items()}
        traffic = phases_traffic(phases, num_clipped)._replace(missing=missing)
        return _like_one(contributions, flat), traffic

    return reduce


def signed_integers(quantiser: Quantiser, words: Words) -> Int64[np.ndarray, " values"]:
    """Return quantised words as the integers nearest zero that they stand for."""
    unused = np.int64(64 - quantiser.word_bits)
    return (words.astype(np.int64) << unused) >> unused


def ring_words(quantiser: Quantiser, integers: Int64[np.ndarray, " values"]) -> Words:
    """Return integers as words of the quantiser, for `dequantise`."""
    low_bits = integers & ((1 << quantiser.word_bits) - 1)
    return low_bits.astype(word_dtype(quantiser.word_bits))


def _held(
    quantiser: Quantiser,
    row: Words,
    round_num: int,  # noqa: ARG001  # there is one update per client
) -> Int64[np.ndarray, " values"]:
    return signed_integers(quantiser, row)


def _perhaps(
    answers: Answers,
    client_id: int,
    handler: Handler[State],
    action: str,
    payload: Payload,
    state: State,
) -> tuple[Outcome, State]:
    """Answer as `handler` does, or drop out: the request is not even seen."""
    if answers(integer(payload, "round_num"), client_id, action):
        return handler(action, payload, state)
    return Failure(f"client {client_id} dropped out (simulated)"), state


def _like_one(contributions: Contribution, flat: np.ndarray) -> Contribution:
    """Return a vector as a pytree like one client's contribution."""
    one, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], contributions))
    return unravel(jnp.asarray(flat, one.dtype))
