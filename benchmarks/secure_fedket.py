"""fedket's two protocols on a case: quantised, masked, authenticated, summed, in this process.

Keys are the operating system's random bytes, drawn while the protocol asks for them: their time
is inside the phases; that of QKD hardware or a key store on disk is not.

    python -m benchmarks.secure_fedket pairwise n64-d61706-q16-lost0-k22 ...
"""

import sys
from collections.abc import Callable
from functools import partial
from time import process_time
from typing import Any

import numpy as np

from benchmarks.secure_cases import CLIP, Case, Clock, check_sum, timed
from benchmarks.timing import answer
from fedket.allocator import keep_freed_memory
from fedket.keys import OsRandomSource
from fedket.secure import (
    Party,
    Protocol,
    client_side,
    fresh_state,
    pairwise_protocol,
    per_link,
    round_cost,
    server_side,
    shared_masks_protocol,
)
from fedket.secure.metering import metered
from fedket.secure.phases import Failure, Handler, Outcome, Payload, drive, in_process
from fedket.types import SERVER, RoundContext

RUN = "benchmark"


def pairwise(case: Case, clock: Clock, confirm: bool = False) -> dict[str, Any]:
    """Run Protocol A without drop-outs and return its facts; `confirm` as in `pairwise_protocol`.

    Words are q bits with headroom where n < 2^(q-1) - 1 leaves any, else q + ceil(log2 n).
    """
    fits = case.clients < 2 ** (case.bits - 1) - 1
    protocol = pairwise_protocol(
        case.bits,
        CLIP,
        modulus="headroom" if fits else "safe",
        degree=case.degree,
        confirm=confirm,
    )
    return {"degree": case.degree, **_run(protocol, case, clock)}


def shared(case: Case, clock: Clock) -> dict[str, Any]:
    """Run Protocol B with drop-outs at UPLOAD, the costliest place, and return its facts."""
    colluders, threshold = colluders_and_threshold(case.clients)
    protocol = shared_masks_protocol(case.bits, CLIP, colluders=colluders, threshold=threshold)
    return {"colluders": colluders, "threshold": threshold, **_run(protocol, case, clock)}


def colluders_and_threshold(clients: int) -> tuple[int, int]:
    """Return T = n/3 and U = n - 0.3 n, rounded down and up: 30 % may drop out at every n."""
    return clients // 3, clients - 3 * clients // 10


def _run(protocol: Protocol, case: Case, clock: Clock) -> dict[str, Any]:
    """Hold a round over messages between all parties and check its sum."""
    ids = tuple(range(case.clients))
    context = RoundContext(0, 1, ids, (1 / case.clients,) * case.clients)
    party, cost = Party(RUN, OsRandomSource()), round_cost(protocol, context, case.values)
    updates = {i: case.update(i) / np.float32(case.clients) for i in ids}
    clients = {
        i: client_side(protocol, i, party, case.values, partial(_trained, context, update))
        for i, update in updates.items()
    }
    for i in set(ids) - set(case.survivors):
        clients[i] = partial(_lost_at_upload, clients[i])
    states = {i: fresh_state(protocol) for i in ids}
    server = metered(server_side(protocol, context, updates[0], party), process_time)
    with clock.phase("start"):
        (total, traffic), phases = drive(server, in_process(clients, states))
    for phase in phases:
        clock.cpu_s[phase.name] = phase.seconds
        clock.cpu_s["start"] -= phase.seconds
    scale = protocol.quantiser(context.weights).scale
    # Less than one step per client, and float32's rounding of inputs and sum.
    check_sum(case, np.asarray(total), case.clients / scale + 1e-6)
    assert traffic.key_bits == 8 * sum(cost.key.values())
    links = per_link(cost.key)
    between_clients = [bits for link, bits in links.items() if SERVER not in link]
    pad_bits = sum(phase.pad_bits for phase in phases) // len(between_clients)
    return {
        "word_bits": 8 * cost.vector_bytes // case.values,
        "up_bytes_per_client": traffic.upload_bytes // case.clients,
        "down_bytes_per_client": sum(p.download_bytes for p in phases) // case.clients,
        "pad_bits_per_link": pad_bits,
        "mac_bits_per_link": between_clients[0] - pad_bits,
        "mac_bits_per_server_link": links[SERVER, 0],
    }


def _trained(
    context: RoundContext,
    update: np.ndarray,
    opening: Payload,  # noqa: ARG001  # there is one update per client
) -> tuple[RoundContext, Callable[[], np.ndarray]]:
    return context, lambda: update


def _lost_at_upload(
    handler: Handler[Any], action: str, payload: Payload, state: Any
) -> tuple[Outcome, Any]:
    if action == "upload":
        return Failure("connection lost"), state
    return handler(action, payload, state)


SIDES = {
    "pairwise": pairwise,
    "pairwise_confirmed": partial(pairwise, confirm=True),
    "shared": shared,
}

if __name__ == "__main__":
    keep_freed_memory()  # as the command line does
    answer(partial(timed, SIDES[sys.argv[1]]), sys.argv[2:])
