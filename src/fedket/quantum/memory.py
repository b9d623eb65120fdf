"""How much memory a simulation will take, estimated before anything compiles."""

import os
from pathlib import Path

from fedket.errors import CircuitError
from fedket.quantum.cross_matrices import qubit_groups


def gradient_bytes(num_qubits: int, batch: int, itemsize: int = 8) -> int:
    """Bytes of one gradient step on a batch of states.

    Live copies of the batch: input, output, cotangent and three in flight, and for every group of
    qubits in the backward pass a transposed state and cotangent, all of them at the same time.
    """
    copies = 6 + 2 * len(qubit_groups(num_qubits))
    return copies * (1 << num_qubits) * batch * itemsize


def available_bytes() -> int:
    """Memory the system can still give, in bytes (Linux: MemAvailable, else physical memory)."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_memory(num_qubits: int, batch: int, itemsize: int = 8) -> None:
    """Raise `CircuitError` if a gradient step would not fit into the available memory."""
    needed, available = gradient_bytes(num_qubits, batch, itemsize), available_bytes()
    if needed > available:
        raise CircuitError(
            f"a gradient step of {num_qubits} qubits with batch {batch} needs about "
            f"{needed / 2**30:.1f} GiB, {available / 2**30:.1f} GiB are available; "
            f"use fewer qubits or a smaller batch"
        )
