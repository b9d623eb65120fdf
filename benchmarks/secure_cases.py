"""What is aggregated securely, the same on every side; imports numpy only, as peers must.

Client i of n holds d values, uniform within +-1, and the sum of its n-th part over the clients
that do not drop out is wanted. Every side is checked against that sum before its time counts.
Costs of a side are facts: bytes of the payloads, bits of key, CPU seconds of this process per
phase (all threads, all clients and the server together), and the wall time of all phases.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter, process_time
from typing import Any, NamedTuple

import numpy as np

CLIP = 1.0
REPEATS = 3
LONG_ENOUGH_S = 2.0
"""No further repeats once all of them together took this long."""


class WrongSumError(Exception):
    """A side computed something else than the sum."""


class Case(NamedTuple):
    """One cell of the grid.

    Attributes:
        clients: n.
        values: d, values per client.
        bits: q, bits per value.
        dropped: Clients that are lost when they should upload.
        degree: Neighbours per client where a protocol has a graph (k).
    """

    clients: int
    values: int
    bits: int
    dropped: int
    degree: int

    @property
    def name(self) -> str:
        """The case in one word, as on a command line: `n64-d61706-q16-lost0-k22`."""
        return "n{}-d{}-q{}-lost{}-k{}".format(*self)

    @property
    def survivors(self) -> tuple[int, ...]:
        """Clients that stay, ascending; those that drop out are spread evenly."""
        gone = {j * self.clients // self.dropped for j in range(self.dropped)}
        return tuple(i for i in range(self.clients) if i not in gone)

    def update(self, client: int) -> np.ndarray:
        """Return a client's values, shape (values,), float32."""
        rng = np.random.default_rng([client, self.values])
        return rng.uniform(-CLIP, CLIP, self.values).astype(np.float32)


def named(name: str) -> Case:
    """Return the case of a name."""
    return Case(*map(int, re.findall(r"\d+", name)))


class Clock:
    """CPU seconds by phase, and the wall time of all of them."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = {}
        self.wall_s = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what happens inside as part of a phase."""
        wall, cpu = perf_counter(), process_time()
        try:
            yield
        finally:
            self.cpu_s[name] = self.cpu_s.get(name, 0.0) + process_time() - cpu
            self.wall_s += perf_counter() - wall


def check_sum(case: Case, total: np.ndarray, tolerance: float) -> None:
    """Compare what a side computed with sum_i x_i / n over the survivors.

    Raises:
        WrongSumError: A value is off by more than the tolerance.
    """
    expected = np.zeros(case.values)
    for i in case.survivors:
        expected += case.update(i) / case.clients
    error = float(np.abs(total - expected).max())
    if not error <= tolerance:
        raise WrongSumError(f"the sum is off by {error:.3g}, {tolerance:.3g} is allowed")


def timed(run: Callable[[Case, Clock], dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the facts of a case and the medians of its times.

    Args:
        run: Runs one round and checks its sum; gets a fresh clock, returns facts.
        name: Of the case.
    """
    clocks: list[Clock] = []
    while len(clocks) <= REPEATS:  # the first warms up, unless it takes long
        clocks.append(Clock())
        facts = run(named(name), clocks[-1])
        if sum(clock.wall_s for clock in clocks) > LONG_ENOUGH_S:
            break
    counted = clocks[1:] or clocks
    phases = {phase: median(c.cpu_s[phase] for c in counted) for phase in counted[0].cpu_s}
    return {
        **facts,
        "cpu_s": median(sum(c.cpu_s.values()) for c in counted),
        "wall_s": median(c.wall_s for c in counted),
        "cpu_s_by_phase": {phase: round(seconds, 6) for phase, seconds in phases.items()},
    }
