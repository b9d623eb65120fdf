"""How much memory a simulation will take, estimated before anything compiles."""

import os
from pathlib import Path

from fedket.errors import CircuitError

STATE_COPIES = 6
"""Live copies of the batch of states in a gradient step: input, output, cotangent, two stacked
for the backward pass and one in flight. Measured, rounded up."""


def gradient_bytes(num_qubits: int, batch: int, itemsize: int = 8) -> int:
    """Bytes of one gradient step: STATE_COPIES · 2**num_qubits · batch · itemsize."""
    return STATE_COPIES * (1 << num_qubits) * batch * itemsize


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
