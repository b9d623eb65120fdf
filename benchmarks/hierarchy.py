"""Hierarchical masked sums of up to 100,000 clients: `python -m benchmarks.hierarchy`.

All clients, the server, their pads and the MACs of their messages in one process; clients have
integers for updates, so that nothing but the protocol is measured. `ms` is the time of a round by
client, `cpu_ms` that of the processor, `pads_per_client` and `most_pads` with how many others a
client shares a pad, on average and at most, `key_kbit` the key of a client, `phases` how often the
server asks.
"""

import time
from functools import partial
from typing import Any

import numpy as np

from benchmarks import run
from fedket.keys import OsRandomSource
from fedket.secure import hierarchical_protocol
from fedket.secure.begun import Begun
from fedket.secure.channel import ChannelState, authenticated_client, authenticated_server
from fedket.secure.mac import MAC_KEY_BYTES
from fedket.secure.phases import Outcomes, Phase, drive, in_process
from fedket.secure.protocol import Party
from fedket.types import RoundContext

VALUES, BITS, GROUP = 100, 16, 16
COHORTS = (100, 1_000, 10_000, 100_000)


def measure(num_clients: int) -> dict[str, Any]:
    """One round; checks that the sum is the plain one."""
    protocol = hierarchical_protocol(BITS, 1.0, group_size=GROUP)
    ids = tuple(range(num_clients))
    context = RoundContext(0, 1, ids, (1 / num_clients,) * num_clients)
    updates = np.random.default_rng(0).integers(-30_000, 30_000, (num_clients, VALUES))
    party, begun = Party("benchmark", OsRandomSource()), Begun(context, bytes(64))
    handlers = {
        i: authenticated_client(
            protocol.client(i, party, lambda _, i=i: updates[i], VALUES, begun), i, party
        )
        for i in ids
    }
    cost, phases = protocol.cost(context, VALUES), 0
    server = protocol.server(context, VALUES, "benchmark", 60.0)
    server = authenticated_server(server, party, 1, ids, cost.num_requests)
    execute = in_process(handlers, {i: ChannelState(protocol.state(0)) for i in ids})

    def counted(phase: Phase) -> Outcomes:
        nonlocal phases
        phases += 1
        return execute(phase)

    start, cpu = time.perf_counter(), time.process_time()
    total = drive(server, counted)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert (total.integers == updates.sum(0)).all()
    streams = np.array(list(cost.key), dtype=int)
    pads = np.bincount(streams.ravel(), minlength=num_clients)
    key = 8 * (2 * sum(cost.key.values()) / num_clients + 2 * cost.num_requests * MAC_KEY_BYTES)
    return {
        "ms": 1e3 * seconds / num_clients,
        "cpu_ms": 1e3 * cpu / num_clients,
        "round_s": seconds,
        "pads_per_client": float(pads.mean()),
        "most_pads": int(pads.max()),
        "key_kbit": key / 1e3,
        "phases": phases,
    }


WORKLOADS = {f"{num_clients}-clients": partial(measure, num_clients) for num_clients in COHORTS}

if __name__ == "__main__":
    run.main(__doc__, "hierarchy", WORKLOADS)
