"""Reducers: from the contributions of a round's clients to their sum, and what it cost.

A contribution is a pytree of float arrays with leaves (clients, ...), already weighted by the
clients' shares. `masked_sum` runs the same protocol functions as a deployment, with real pads and
packed bytes; `quantised_sum` is the same sum without masks, and equals it bit for bit.
"""

import hashlib
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from fedket.errors import ProtocolError
from fedket.secure.channel import ChannelState, authenticated_client, authenticated_server
from fedket.secure.costs import upload_bytes
from fedket.secure.metering import metered
from fedket.secure.pairwise.client import ClientState, pairwise_client
from fedket.secure.pairwise.graph import Degree, choose_degree
from fedket.secure.pairwise.server import RingSum, pairwise_server
from fedket.secure.pairwise.terms import Terms, graph_of, make_terms, num_messages
from fedket.secure.phases import Handler, drive, in_process
from fedket.secure.quantise import (
    QUANTISERS,
    Quantised,
    Quantiser,
    WordMode,
    dequantise,
    quantise,
    rounding_noise,
)
from fedket.secure.tags import MacKeys
from fedket.secure.words import Words
from fedket.types import Contribution, KeySource, PhaseCost, Reducer, RoundContext, Traffic

PAD_MEMORY_BYTES = 128 * 2**20
"""In one process, pads that one end has used and the other not yet; the chunk size obeys it."""


def plain_sum() -> Reducer:
    """Return the reducer that adds floats on the device: no quantiser, no protection."""

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        _check_clients(contributions, context)
        num_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(contributions))
        return _sum_clients(contributions), Traffic(upload_bytes=num_bytes, key_bits=0)

    return reduce


def quantised_sum(bits: int, word: WordMode, clip: float) -> Reducer:
    """Return the reducer that adds quantised words in the ring; the server sees every update.

    Args:
        bits: Bits per value (q).
        word: `headroom` or `safe`, see `fedket.secure.quantise`.
        clip: Largest absolute unweighted update per coordinate.

    Raises (the reducer):
        ConfigError: The cohort is too large for `bits` with `headroom`.
        ProtocolError: An update is not finite, or contributions and context disagree.
    """

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        quantiser, updates = quantise_round(contributions, context, bits, word, clip)
        rows = [update.words for update in updates]
        ring_sum = np.add.reduce(rows, axis=0, dtype=rows[0].dtype)
        num_bytes = len(rows) * upload_bytes(rows[0].size, bits, word, len(rows))
        total = _unravel(jnp.asarray(dequantise(quantiser, ring_sum)), contributions)
        return total, Traffic(num_bytes, key_bits=0, num_clipped=_num_clipped(updates))

    return reduce


def masked_sum(
    bits: int,
    word: WordMode,
    clip: float,
    key_source: KeySource,
    *,
    degree: Degree = "auto",
    bad_fraction: float = 1 / 3,
    mac: bool = True,
    run_id: str = "in process",
) -> Reducer:
    """Return the reducer that adds masked words: the server sees the sum, see `pairwise`.

    Rounds only go up: the same round cannot be reduced twice by one reducer or key source.

    Args:
        bits: Bits per value (q).
        word: `headroom` or `safe`, see `fedket.secure.quantise`.
        clip: Largest absolute unweighted update per coordinate.
        key_source: Pads for all pairs of clients and MAC keys for all links with the server.
        degree: With how many others each client shares a pad; see `choose_degree`.
        bad_fraction: Fraction of colluding or dropping clients that degree "auto" provides for.
        mac: False leaves out the authentication of messages: for tests of attacks.
        run_id: Name of the run, part of every authenticated message.

    Raises (the reducer):
        ConfigError: The cohort is too large for `bits` with `headroom`, or there is no graph of
            that degree.
        ProtocolError: Fewer than 2 clients, an update is not finite, contributions and context
            disagree, or a client refused (for example because its keys ran out).
        KeyMaterialError: The server's own keys ran out or were used before.
    """
    last_rounds: dict[int, int] = {}
    mac_keys = MacKeys(key_source, run_id) if mac else None

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        quantiser, updates = quantise_round(contributions, context, bits, word, clip)
        rows = {i: u.words for i, u in zip(context.client_ids, updates, strict=True)}
        terms = round_terms(
            context, len(updates[0].words), quantiser.word_bits, degree, bad_fraction
        )
        handlers = {
            client_id: pairwise_client(client_id, key_source, partial(_held, row))
            for client_id, row in rows.items()
        }
        states = {client_id: ClientState(last_rounds.get(client_id, 0)) for client_id in rows}
        try:
            result, phases = _run(terms, handlers, states, mac_keys)
        finally:
            for client_id in rows:
                last_rounds[client_id] = max(last_rounds.get(client_id, 0), terms.round_num)
        total = _unravel(jnp.asarray(dequantise(quantiser, result.words)), contributions)
        traffic = phases_traffic(phases, _num_clipped(updates))
        return total, traffic._replace(missing=result.missing)

    return reduce


def phases_traffic(phases: tuple[PhaseCost, ...], num_clipped: int | None) -> Traffic:
    """Return the cost of an aggregation from that of its phases."""
    return Traffic(
        upload_bytes=sum(phase.upload_bytes for phase in phases),
        key_bits=sum(phase.pad_bits + phase.mac_bits for phase in phases),
        num_clipped=num_clipped,
        phases=phases,
    )


def _run(
    terms: Terms,
    handlers: dict[int, Handler[ClientState]],
    states: dict[int, ClientState],
    mac: MacKeys | None,
) -> tuple[RingSum, tuple[PhaseCost, ...]]:
    """Run Protocol A in this process, over authenticated messages if there are keys for them."""
    server = pairwise_server(terms)
    if mac is None:
        return drive(metered(server), in_process(handlers, states))
    messages = num_messages(terms)
    server = authenticated_server(server, mac, terms.round_num, terms.cohort, messages)
    signing = {i: authenticated_client(handler, i, mac) for i, handler in handlers.items()}
    channels = {client_id: ChannelState(state) for client_id, state in states.items()}
    return drive(metered(server), in_process(signing, channels))


def quantise_round(
    contributions: Contribution, context: RoundContext, bits: int, word: WordMode, clip: float
) -> tuple[Quantiser, list[Quantised]]:
    """Return a round's quantiser and each client's words, in the order of the context.

    Each client's `num_clipped` is in there too: a private statistic that a deployed client keeps.
    """
    _check_clients(contributions, context)
    shares = shares_of(context)
    quantiser = QUANTISERS[word](bits, clip, shares)
    values = np.asarray(_ravel(contributions))
    noise = rounding_noise(context.seed, context.round_num, context.client_ids, values.shape[1])
    return quantiser, list(map(partial(quantise, quantiser), values, shares, noise))


def shares_of(context: RoundContext) -> list[float]:
    """Return the weights, rescaled so that their sum is 1 to float64 precision."""
    total = math.fsum(context.weights)
    if min(context.weights) <= 0 or not math.isclose(total, 1, rel_tol=1e-5):
        raise ProtocolError(
            f"weights of a round must be positive with sum 1, got minimum {min(context.weights)} "
            f"and sum {total}; divide by the sum over the clients of the round"
        )
    return [weight / total for weight in context.weights]


def _check_clients(contributions: Contribution, context: RoundContext) -> None:
    num_clients = len(context.client_ids)
    arrived = sorted({leaf.shape[0] for leaf in jax.tree.leaves(contributions)})
    if num_clients < 1 or arrived != [num_clients] or len(context.weights) != num_clients:
        raise ProtocolError(
            f"round {context.round_num} has {num_clients} clients and {len(context.weights)} "
            f"weights, contributions of {arrived} clients arrived; pass one row per client"
        )


def round_terms(
    context: RoundContext, num_words: int, word_bits: int, degree: Degree, bad_fraction: float
) -> Terms:
    """Return the terms of a simulated round; the seed of the graph is public, not secret."""
    num_clients = len(context.client_ids)
    seed = f"fedket graph of round {context.round_num} of seed {context.seed}"
    terms = make_terms(
        context.round_num,
        context.client_ids,
        num_words,
        word_bits,
        degree=choose_degree(degree, num_clients, bad_fraction),
        graph_seed=hashlib.sha256(seed.encode()).digest(),
    )
    return terms._replace(chunk_words=_chunk_words(graph_of(terms).reach, num_words, word_bits))


def _chunk_words(reach: int, num_words: int, word_bits: int) -> int:
    """Return how many words to upload at a time, a multiple of 8.

    Clients take turns in the order of the ring, which r*(r+1) edges cross in two places (reach r).
    """
    affordable = PAD_MEMORY_BYTES * 8 // (reach * (reach + 1) * word_bits)
    return max(8, min(affordable, num_words + 7) // 8 * 8)


def _num_clipped(updates: list[Quantised]) -> int:
    return sum(update.num_clipped for update in updates)


def _held(row: Words, round_num: int) -> Words:  # noqa: ARG001  # there is one update per client
    return row


@jax.jit
def _sum_clients(contributions: Contribution) -> Contribution:
    return jax.tree.map(lambda leaf: leaf.sum(0), contributions)


@jax.jit
def _ravel(contributions: Contribution) -> Float[Array, "clients values"]:
    return jax.vmap(lambda one: ravel_pytree(one)[0])(contributions)


@jax.jit
def _unravel(total: Float[Array, " values"], contributions: Contribution) -> Contribution:
    """Return the vector as a pytree like one client's contribution."""
    flat, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], contributions))
    return unravel(total.astype(flat.dtype))
