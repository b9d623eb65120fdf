"""fedket's two protocols on a case: quantised, masked, authenticated, summed, in this process.

Keys are the operating system's random bytes, drawn while the protocol asks for them: their time
is inside the phases; that of QKD hardware or a key store on disk is not.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from fedket.secure.shared_masks_reducer import ring_words, signed_integers

from benchmarks.secure_cases import CLIP, Case, Clock, check_sum
from fedket.keys import OsRandomSource
from fedket.secure.channel import ChannelState, authenticated_client, authenticated_server
from fedket.secure.mac import MAC_KEY_BITS
from fedket.secure.metering import metered
from fedket.secure.pairwise.client import ClientState, pairwise_client
from fedket.secure.pairwise.graph import num_edges
from fedket.secure.pairwise.server import pairwise_server
from fedket.secure.pairwise.terms import Terms, graph_of, make_terms, num_messages, pad_bytes
from fedket.secure.phases import Failure, Handler, Outcome, Payload, Server, drive, in_process
from fedket.secure.quantise import (
    QUANTISERS,
    Quantiser,
    WordMode,
    dequantise,
    quantise,
    rounding_noise,
)
from fedket.secure.shared_masks import plan as shared_masks_plan
from fedket.secure.shared_masks import server as shared_masks
from fedket.secure.shared_masks.client import ClientState as SharedState
from fedket.secure.shared_masks.client import shared_masks_client
from fedket.secure.tags import MacKeys
from fedket.secure.words import Words
from fedket.types import PhaseCost

RUN = "benchmark"
PAD_MEMORY_BYTES = 128 * 2**20
"""Pads that one end has used and the other not yet; longer updates go in pieces."""


def pairwise(case: Case, clock: Clock) -> dict[str, Any]:
    """Run Protocol A without drop-outs and return its facts.

    Words are q bits with headroom where n < 2^(q-1) - 1 leaves any, else q + ceil(log2 n).
    """
    word: WordMode = "headroom" if case.clients < 2 ** (case.bits - 1) - 1 else "safe"
    quantiser, rows = _quantised(case, word, clock)
    terms = make_terms(
        1,
        tuple(rows),
        case.values,
        quantiser.word_bits,
        degree=case.degree,
        graph_seed=b"benchmark",
    )
    terms = terms._replace(chunk_words=_chunk_words(terms))
    source = OsRandomSource()
    mac, messages = MacKeys(source, RUN), num_messages(terms)
    handlers = {i: pairwise_client(i, source, partial(_held, row)) for i, row in rows.items()}
    server = authenticated_server(pairwise_server(terms), mac, 1, terms.cohort, messages)
    states = {i: ChannelState(ClientState()) for i in rows}
    clients = {i: authenticated_client(handler, i, mac) for i, handler in handlers.items()}
    result, phases = drive(_clocked(metered(server), clock), in_process(clients, states))
    check_sum(case, dequantise(quantiser, result.words), _tolerance(case, quantiser))
    assert sum(phase.pad_bits for phase in phases) == 8 * pad_bytes(terms) * num_edges(
        case.clients, case.degree
    )
    return {
        "word_bits": quantiser.word_bits,
        "degree": case.degree,
        **_bytes(case, phases),
        "pad_bits_per_link": 8 * pad_bytes(terms),
        "mac_bits_per_link": 0,
        "mac_bits_per_server_link": 2 * MAC_KEY_BITS * messages,
    }


def shared(case: Case, clock: Clock) -> dict[str, Any]:
    """Run Protocol B with drop-outs at UPLOAD, the costliest place, and return its facts."""
    colluders, threshold = colluders_and_threshold(case.clients)
    quantiser, rows = _quantised(case, "safe", clock)
    plan = shared_masks_plan.Plan(RUN, case.values, case.bits, colluders, threshold)
    terms = shared_masks_plan.terms_of(plan, 1, tuple(rows))
    updates = {i: signed_integers(quantiser, row) for i, row in rows.items()}
    source = OsRandomSource()
    mac, messages = MacKeys(source, RUN), shared_masks.num_messages(plan)
    handlers = {
        i: shared_masks_client(i, source, partial(_held, update), plan)
        for i, update in updates.items()
    }
    clients = {i: authenticated_client(handler, i, mac) for i, handler in handlers.items()}
    for i in set(rows) - set(case.survivors):
        clients[i] = partial(_lost_at_upload, clients[i])
    protocol = shared_masks.shared_masks_server(terms)
    server = authenticated_server(protocol, mac, 1, terms.cohort, messages)
    states = {i: ChannelState(SharedState()) for i in rows}
    result, phases = drive(_clocked(metered(server), clock), in_process(clients, states))
    total = dequantise(quantiser, ring_words(quantiser, result.total))
    check_sum(case, total, _tolerance(case, quantiser))
    key = shared_masks_plan.key_per_pair(terms)
    return {
        "word_bits": terms.sharing.field.bits,
        "colluders": colluders,
        "threshold": threshold,
        **_bytes(case, phases),
        "pad_bits_per_link": key.pad,
        "mac_bits_per_link": key.mac,
        "mac_bits_per_server_link": 2 * MAC_KEY_BITS * messages,
    }


def colluders_and_threshold(clients: int) -> tuple[int, int]:
    """Return T = n/3 and U = n - 0.3 n, rounded down and up: 30 % may drop out at every n."""
    return clients // 3, clients - 3 * clients // 10


def memory_bytes(case: Case, protocol: str) -> int:
    """Return about what a case takes in this process, where every party's data live at once."""
    quantised = case.clients * case.values * (16 if protocol == "shared" else 8)
    if protocol == "pairwise":
        return quantised + PAD_MEMORY_BYTES
    colluders, threshold = colluders_and_threshold(case.clients)
    shares = case.clients**2 * -(-case.values // (threshold - colluders))
    masks_and_uploads = 2 * 8 * case.clients * case.values
    return quantised + masks_and_uploads + shares * (8 + 2 * (case.bits + 8) // 8)


def _quantised(case: Case, word: WordMode, clock: Clock) -> tuple[Quantiser, dict[int, Words]]:
    shares = [1 / case.clients] * case.clients
    quantiser = QUANTISERS[word](case.bits, CLIP, shares)
    rows = {}
    for i in range(case.clients):
        values = case.update(i) / np.float32(case.clients)
        with clock.phase("quantise"):
            noise = rounding_noise(0, 1, [i], case.values)[0]
            rows[i] = quantise(quantiser, values, shares[i], noise).words
    return quantiser, rows


def _tolerance(case: Case, quantiser: Quantiser) -> float:
    """Return less than one step per client, and float32's rounding of inputs and sum."""
    return case.clients / quantiser.scale + 1e-6


def _clocked(server: Server[Any], clock: Clock) -> Server[Any]:
    """Return the same protocol; CPU of the clients' answers and the server's work by action."""
    try:
        with clock.phase("start"):
            phase = next(server)
        while True:
            with clock.phase(phase.action):
                outcomes = yield phase
                following = server.send(outcomes)
            phase = following
    except StopIteration as end:
        return end.value


def _lost_at_upload(
    handler: Handler[Any], action: str, payload: Payload, state: Any
) -> tuple[Outcome, Any]:
    if action == "upload":
        return Failure("connection lost"), state
    return handler(action, payload, state)


def _held(update: Any, round_num: int) -> Any:  # noqa: ARG001  # one update per client
    return update


def _bytes(case: Case, phases: tuple[PhaseCost, ...]) -> Mapping[str, int]:
    return {
        "up_bytes_per_client": sum(phase.upload_bytes for phase in phases) // case.clients,
        "down_bytes_per_client": sum(phase.download_bytes for phase in phases) // case.clients,
    }


def _chunk_words(terms: Terms) -> int:
    """Return how many words to upload at a time; r*(r+1) pads of the ring wait at once."""
    reach = graph_of(terms).reach
    affordable = PAD_MEMORY_BYTES * 8 // (reach * (reach + 1) * terms.word_bits)
    return max(8, min(affordable, terms.num_words + 7) // 8 * 8)
