"""Who uses the processor: we or others; and taking cores away from what is measured.

Others' use is what `/proc/stat` counts as busy, for all cores and with time stolen by other virtual
machines, less this process and its children.
"""

import ctypes
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

MOST_OTHERS = 0.05
"""Share of all cores that others may use while something that is published is measured.

On two cores that is a tenth of one, which can lengthen a time that both are needed for by 5 %: less
than what processes on an idle machine differ by. An idle machine's own services take 0.01.
"""


PR_SET_CHILD_SUBREAPER = 36
"""Of Linux's `prctl`."""


class Meter(NamedTuple):
    """Seconds so far: on the clock, of all processors' work, and of our own; all None off Linux."""

    wall_s: float
    busy_s: float
    own_s: float


def read() -> Meter | None:
    """Return the meter's state, or None where there is no `/proc/stat`."""
    try:
        line = Path("/proc/stat").read_text().splitlines()[0]
    except OSError:
        return None
    user, nice, system, _idle, _waits, irq, softirq, steal = map(int, line.split()[1:9])
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own = sum(part.ru_utime + part.ru_stime for part in usage)
    return Meter(time.monotonic(), busy, own)


def others(start: Meter | None, end: Meter | None) -> float | None:
    """Return how many cores others used on average between two states, or None if unknown."""
    if start is None or end is None:
        return None
    busy, own = end.busy_s - start.busy_s, end.own_s - start.own_s
    return max(0.0, busy - own) / (end.wall_s - start.wall_s)


def adopt_orphans() -> None:
    """From now on, descendants whose parents die are this process's children (Linux)."""
    with suppress(AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def count_orphans() -> None:
    """Let the time of adopted processes that have ended count as this one's."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def is_quiet(cores: float | None) -> bool:
    """Tell whether others use so little that a time may be published; not known is not quiet."""
    return cores is not None and cores <= MOST_OTHERS * (os.cpu_count() or 1)


def others_now(seconds: float = 1.0) -> float | None:
    """Return how many cores others use while this process sleeps."""
    start = read()
    time.sleep(seconds)
    return others(start, read())


@contextmanager
def restricted(cores: int | None, taken: bool) -> Iterator[None]:
    """Let processes that start inside use so many cores only, or beside one that always computes.

    The computing process is not bound to a core, as a neighbour would not be.
    """
    before = os.sched_getaffinity(0)
    if cores is not None:
        os.sched_setaffinity(0, sorted(before)[-cores:])
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if taken else None
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        if spinning:
            spinning.kill()
            spinning.wait()
