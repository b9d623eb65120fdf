"""Several processes that compute one experiment, joined by `jax.distributed`; process 0 leads.

Each process holds all data and trains its part of the clients. What only process 0 knows (sums
under masks, what lies on its disk) it hands to the others here, bit for bit. `share_bytes`,
`share_tree` and `gather` are meetings: every process calls them, in the same order.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from safetensors.numpy import load, save

from fedket.errors import (
    OUT_OF_MEMORY,
    ConfigError,
    ProcessLostError,
    ProtocolError,
    RoundLostError,
    RoundStoppedError,
)
from fedket.traffic import Traffic
from fedket.types import Contribution, Reducer, RoundContext

JOIN_SECONDS = 120
"""How long processes wait for each other at the start."""

SILENCE_SECONDS = 30
"""After how long without a sign of life a process counts as lost; the others are then ended."""

RUNTIME_STATUS = ("UNKNOWN:", "UNAVAILABLE:", "INTERNAL:", "ABORTED:", "DEADLINE_EXCEEDED:")
"""How errors of the runtime begin that tell of a lost process."""


def join(
    num_processes: int, process_id: int, coordinator: str | None = None, cpu_devices: int = 0
) -> None:
    """Join the other processes; must come before anything else uses JAX.

    Args:
        num_processes: How many there are.
        process_id: Which of them this is, from 0.
        coordinator: `HOST:PORT` where process 0 listens; None asks Open MPI or Slurm for one.
        cpu_devices: Devices each process splits its CPU into; 0 is one. GPUs stay as they are.

    Raises:
        ConfigError: No address is known, or the others did not come.
    """
    jax.config.update("jax_num_cpu_devices", cpu_devices or 1)
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM for itself
    done: Future[None] = Future()

    def work() -> None:
        try:
            jax.distributed.initialize(
                coordinator,
                num_processes,
                process_id,
                initialization_timeout=JOIN_SECONDS + 10,
                heartbeat_timeout_seconds=SILENCE_SECONDS,
                shutdown_timeout_seconds=JOIN_SECONDS,
            )
            done.set_result(None)
        except BaseException as error:
            done.set_exception(error)

    # The runtime ends a process that waits too long without a word; ours gives up before.
    Thread(target=work, daemon=True).start()
    try:
        done.result(timeout=JOIN_SECONDS)
    except TimeoutError:
        raise ConfigError(
            f"process {process_id} of {num_processes} waited {JOIN_SECONDS} s for the others; "
            "start all of them, and let them reach process 0 at FEDKET_COORDINATOR=HOST:PORT"
        ) from None
    except (ValueError, RuntimeError) as error:
        raise ConfigError(
            f"process {process_id} of {num_processes} cannot join the others: {error}; name a "
            "free port of the first host: FEDKET_COORDINATOR=HOST:PORT"
        ) from error


def leave() -> None:
    """Wait until all processes leave; what was computed stays readable."""
    jax.distributed.shutdown()


def leads() -> bool:
    """Whether this is process 0, which alone writes, reports and holds key."""
    return int(jax.process_index()) == 0


def share_bytes(data: bytes) -> bytes:
    """Return what process 0 passed; what the others pass is not looked at.

    Raises:
        ProcessLostError: Another process is gone.
    """
    with in_touch():
        length = multihost_utils.broadcast_one_to_all(np.uint32(len(data)))
        mine = np.frombuffer(data, np.uint8) if leads() else np.zeros(int(length), np.uint8)
        return bytes(np.asarray(multihost_utils.broadcast_one_to_all(mine)).tobytes())


def share_tree(tree: Any) -> Any:
    """Return process 0's tree of arrays, bit for bit; the others' lend their structure only."""
    leaves, structure = jax.tree.flatten(tree)
    named = {str(n): np.asarray(leaf, order="C") for n, leaf in enumerate(leaves)}
    arrays = load(share_bytes(save(named) if leads() else b""))
    return jax.tree.unflatten(structure, [arrays[str(n)] for n in range(len(leaves))])


def gather(data: bytes) -> list[bytes]:
    """Return what each process passed, in their order; all pass equally many bytes."""
    with in_touch():
        rows = multihost_utils.process_allgather(np.frombuffer(data, np.uint8))
    return [row.tobytes() for row in np.asarray(rows)]


def led_reducer(reducer: Reducer) -> Reducer:
    """Return a reducer that process 0 runs for all; the others get the sum and no costs.

    Contributions come to every process, because JAX gathers to all; only process 0 looks at them.

    Raises:
        RoundLostError: In the other processes, if no sum could be opened.
        RoundStoppedError: In the other processes, if it failed in process 0, which raises why.
    """

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        if not leads():
            verdict = share_bytes(b"")
            if verdict == b"lost":
                raise RoundLostError(f"round {context.round_num}: process 0 opened no sum", {})
            if verdict != b"done":
                raise RoundStoppedError(f"round {context.round_num}: process 0 could not add up")
            return share_tree(contributions), Traffic(0, 0)
        try:
            total, traffic = reducer(contributions, context)
        except ProtocolError:
            share_bytes(b"lost")
            raise
        except BaseException:
            share_bytes(b"fail")
            raise
        share_bytes(b"done")
        return share_tree(total), traffic

    return reduce


@contextmanager
def in_touch() -> Iterator[None]:
    """Tell from other failures that another process ended or cannot be reached any more."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        # Where a result is read, the runtime's error arrives as a ValueError with the same text.
        own = isinstance(error, ValueError) and not str(error).startswith(RUNTIME_STATUS)
        if own or OUT_OF_MEMORY in str(error):
            raise
        raise ProcessLostError(
            f"another process of this run is gone ({_reason(error)}); look for its own message, "
            "then continue with --resume: what was saved is intact"
        ) from error


def _reason(error: Exception) -> str:
    """Last part of what the runtime says, without its source files."""
    return str(error).splitlines()[0].rpartition("] ")[2] or type(error).__name__
