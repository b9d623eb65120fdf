"""Seconds in which this process ran: what it stood still for counts against nobody.

On a machine with more to do than cores the server itself may stand still for seconds. Heartbeats
that arrive meanwhile lie unread, and by the clock on the wall every site would be silent at once.
"""

import time
from collections.abc import Callable
from threading import Event, Thread

TICK_S = 0.25
MOST_S = 1.0
"""What counts between two ticks at most."""


class OwnTime:
    """A clock that a thread of this process keeps going, and that waits while it cannot.

    Args:
        stopped: Ends the thread.
        wall: Seconds on the wall.
    """

    def __init__(self, stopped: Event, wall: Callable[[], float] = time.monotonic) -> None:
        self._stopped, self._wall = stopped, wall
        self._last = 0.0, wall()  # one object: never half of it is new
        Thread(target=self._keep_going, daemon=True).start()

    def __call__(self) -> float:
        """Return seconds since it was made, less those in which nothing ran."""
        so_far, ticked = self._last
        return so_far + min(self._wall() - ticked, MOST_S)

    def tick(self) -> None:
        """Let time pass that the process has had."""
        self._last = self(), self._wall()

    def _keep_going(self) -> None:
        while not self._stopped.wait(TICK_S):
            self.tick()
