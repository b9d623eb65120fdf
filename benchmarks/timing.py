"""How everything here is timed: the median of repeated calls after a warm-up, in milliseconds."""

import time
from collections.abc import Callable
from statistics import median

WARM_UP_CALLS = 2
SHORTEST_MS = 1_000.0  # fast calls are repeated until this much time has been measured
MOST_CALLS = 1000


def wall_ms(call: Callable[[], object]) -> float:
    """Return the wall time of one call, in ms."""
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def median_ms(call: Callable[[], object], repeats: int) -> float:
    """Return the median wall time of `call`, which must wait for its own result, in ms.

    Args:
        call: Does the work once; its result is dropped.
        repeats: The least number of timed calls.
    """
    for _ in range(WARM_UP_CALLS):
        call()
    times: list[float] = []
    while len(times) < repeats or (sum(times) < SHORTEST_MS and len(times) < MOST_CALLS):
        times.append(wall_ms(call))
    return median(times)
