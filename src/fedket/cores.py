"""How many of the machine's cores are ours, and what they can do."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def num_cores() -> int:
    """Cores that this process may use; fewer than there are under `taskset` or Slurm."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_avx512() -> bool:
    """Whether the CPU has vectors of 512 bits, where Linux says so."""
    try:
        return " avx512f " in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False


@contextmanager
def one_core(wanted: bool = True) -> Iterator[None]:
    """Keep this process, and those it starts, to one core; JAX, if not in use yet, sees no other.

    Args:
        wanted: Whether to do so.
    """
    if not wanted or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
