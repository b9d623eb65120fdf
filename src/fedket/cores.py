"""How many of the machine's cores are ours."""

import os


def num_cores() -> int:
    """Cores that this process may use; fewer than there are under `taskset` or Slurm."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
