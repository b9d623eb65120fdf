"""Fetching key in the background: a round waits for its own, not for that of rounds to come."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from threading import Lock, Thread
from typing import NamedTuple

from fedket.errors import KeyMaterialError
from fedket.types import Stream

LOOK_S = 0.02
"""How often a round looks whether its key is there."""


class Need(NamedTuple):
    """What a stream needs.

    Attributes:
        now: Bytes without which a round cannot begin.
        ahead: Bytes to have in store, for rounds to come.
        available: Returns how many are there.
        fetch: (bytes, bytes) -> fetches at least so many more, or the latter if that is no more
            work; raises what a round may not go on with.
    """

    now: int
    ahead: int
    available: Callable[[], int]
    fetch: Callable[[int, int], object]


class Refill:
    """Fills streams, each in a thread of its own and by one thread at a time."""

    def __init__(self) -> None:
        self._lock, self._closed = Lock(), False
        self._running: dict[Stream, Future[None]] = {}

    def close(self, seconds: float) -> None:
        """Begin nothing more, and give what is under way so long to end."""
        with self._lock:
            self._closed = True
            running = list(self._running.values())
        wait(running, timeout=seconds)

    def wait_for(self, needs: Mapping[Stream, Need]) -> dict[Stream, Exception]:
        """Wait until streams hold what they need now.

        Returns:
            Stream -> what its fetching ended with, where it did not suffice.
        """
        short = {s: need for s, need in needs.items() if need.available() < need.now}
        for stream, need in short.items():
            self._start(stream, need, need.now)
        failed: dict[Stream, Exception] = {}
        for stream, need in short.items():
            while stream not in failed and need.available() < need.now:
                running = self._start(stream, need, need.now)
                while not running.done() and need.available() < need.now:
                    time.sleep(LOOK_S)
                error = running.exception() if running.done() else None
                if isinstance(error, Exception) and need.available() < need.now:
                    failed[stream] = error
        return failed

    def go_ahead(self, needs: Mapping[Stream, Need]) -> None:
        """Begin to fill what is half empty; nobody waits for it, and its errors are the next's."""
        for stream, need in needs.items():
            if need.available() - need.now < need.ahead // 2:
                self._start(stream, need, need.ahead)

    def _start(self, stream: Stream, need: Need, wanted: int) -> "Future[None]":
        """What fills a stream now, or begins to."""
        with self._lock:
            running = self._running.get(stream)
            if running is not None and not running.done():
                return running
            future = self._running[stream] = Future[None]()

        def fill() -> None:
            try:
                if self._closed:
                    raise KeyMaterialError("the pad store is being closed")
                available = need.available()
                need.fetch(wanted - available, need.ahead - available)
            except BaseException as error:
                future.set_exception(error)
                if not isinstance(error, Exception):  # the end of a process, not of a fetch
                    raise
            else:
                future.set_result(None)

        Thread(target=fill, daemon=True).start()
        return future
