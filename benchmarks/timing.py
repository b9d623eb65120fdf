"""What a measured process does: time calls, and print one line of JSON for each workload asked for.

Figures are floats and differ from process to process: times in ms or s, memory in MiB. What is not
a float (threads, versions, bytes of payloads) is a fact. Needs the standard library only.
"""

import json
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

WARM_UP_CALLS = 2
LEAST_CALLS = 3
MOST_CALLS = 1000
SHORT_MS, LONG_MS = 500.0, 3_000.0
"""Calls are repeated until this much has been measured; slow ones, too few by then, up to that."""


def wall_ms(call: Callable[[], object]) -> float:
    """Return the wall time of one call, in ms."""
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def median_ms(call: Callable[[], object], warm_up: int = WARM_UP_CALLS) -> float:
    """Return the median wall time of `call`, which must wait for its own result, in ms."""
    for _ in range(warm_up):
        call()
    times: list[float] = []
    while len(times) < MOST_CALLS and (
        sum(times) < SHORT_MS or (len(times) < LEAST_CALLS and sum(times) < LONG_MS)
    ):
        times.append(wall_ms(call))
    return median(times)


def answer(measure: Callable[[str], dict[str, Any]], workloads: Sequence[str]) -> None:
    """Print what `measure` finds for each workload, or a note that says why there is nothing."""
    for name in workloads:
        try:
            found = measure(name)
        except Exception as error:  # whatever it is, the other workloads go on
            lines = str(error).splitlines() or ["no message"]
            found = {"note": f"{type(error).__name__}: {lines[0]}"}
        print(json.dumps({"workload": name, **found}), flush=True)
