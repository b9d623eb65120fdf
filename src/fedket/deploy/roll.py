"""What the server knows of its sites. Every method may be called from any thread.

Whatever is learnt of a site belongs to one process of it: news of a process that another one has
replaced meanwhile is not taken down.
"""

import math
import time
from collections.abc import Callable, Mapping
from threading import Lock
from types import MappingProxyType
from typing import Any, NamedTuple

from fedket.deploy.hello import Hello


class Seat(NamedTuple):
    """A site as the server sees it.

    Attributes:
        instance: The process that gave the last sign of life.
        heard: When it gave it.
        hello: What it said of itself, if it may take part.
        refused: Whether it may not.
        ready: Whether it has its session.
        member: Whether its links are in line: it takes part.
        why: Why it does not.
        silence: Why the last sign of life did not come.
    """

    instance: str = ""
    heard: float = -math.inf
    hello: Hello = MappingProxyType({})
    refused: bool = False
    ready: bool = False
    member: bool = False
    why: str = "has not said hello yet"
    silence: str = ""


class Roll:
    """Seats of all sites.

    Args:
        names: Names of the sites, in order.
        silent_s: Seconds without a sign of life after which a site is away.
    """

    def __init__(self, names: tuple[str, ...], silent_s: float) -> None:
        self._names, self._silent_s, self._lock = names, silent_s, Lock()
        self._seats = dict.fromkeys(range(len(names)), Seat())

    def heard(self, i: int, instance: str) -> bool:
        """Take down a sign of life; returns whether it is a new process'."""
        now = time.monotonic()
        with self._lock:
            seat = self._seats[i]
            if seat.instance == instance:
                self._seats[i] = seat._replace(heard=now)
                return False
            why = "was restarted" if seat.instance else "is starting"
            self._seats[i] = Seat(instance, now, why=why)
            return True

    def silent(self, i: int, reason: str) -> None:
        """Take down that a sign of life did not come."""
        with self._lock:
            self._seats[i] = self._seats[i]._replace(silence=reason)

    def note(self, i: int, instance: str, **changes: Any) -> bool:
        """Take down news of a process; returns whether it is news, of a process that is there."""
        with self._lock:
            seat = self._seats[i]
            if seat.instance != instance or seat == seat._replace(**changes):
                return False
            self._seats[i] = seat._replace(**changes)
            return True

    def may_enter(self, i: int, instance: str) -> bool:
        """Whether a process is still the site's, and was not refused."""
        seat = self._seat(i)
        return seat.instance == instance and not seat.refused

    def hello(self, i: int, instance: str) -> Hello:
        """Return what a process said of itself, or nothing."""
        seat = self._seat(i)
        return seat.hello if seat.instance == instance else {}

    def away(self, i: int, instance: str) -> str:
        """Why a process is not to be waited for, or nothing."""
        seat = self._seat(i)
        if seat.instance != instance:
            return self._named(i, "was restarted")
        return "" if self._is_heard(seat) else self._reason(i, seat)

    def absent(self) -> dict[int, str]:
        """Who takes no part, and why."""
        return {
            i: self._reason(i, seat) for i, seat in self._all().items() if not self._is_in(seat)
        }

    def greeted(self) -> dict[int, Seat]:
        """Who said hello and may take part."""
        return self._where(lambda seat: bool(seat.hello))

    def known(self) -> set[int]:
        """Of whom it is known whether they may take part."""
        return set(self._where(lambda seat: bool(seat.hello) or seat.refused))

    def members(self) -> dict[int, Seat]:
        """Who takes part."""
        return self._where(self._is_in)

    def admitted(self) -> dict[int, Seat]:
        """Who takes part, or would if it gave a sign of life."""
        return self._where(lambda seat: seat.member)

    def newcomers(self) -> dict[int, Seat]:
        """Who has a session and waits to take part."""
        return self._where(lambda seat: seat.ready and not seat.member and self._is_heard(seat))

    def preparing(self) -> dict[int, Seat]:
        """Who said hello and has no session yet."""
        return self._where(
            lambda seat: bool(seat.hello) and not seat.ready and self._is_heard(seat)
        )

    def _where(self, test: Callable[[Seat], bool]) -> dict[int, Seat]:
        return {i: seat for i, seat in self._all().items() if test(seat)}

    def _all(self) -> Mapping[int, Seat]:
        with self._lock:
            return dict(self._seats)

    def _seat(self, i: int) -> Seat:
        with self._lock:
            return self._seats[i]

    def _is_heard(self, seat: Seat) -> bool:
        return time.monotonic() - seat.heard < self._silent_s

    def _is_in(self, seat: Seat) -> bool:
        return seat.member and self._is_heard(seat)

    def _reason(self, i: int, seat: Seat) -> str:
        if seat.refused or self._is_heard(seat):
            return self._named(i, seat.why)
        if seat.instance:
            return self._named(i, "gives no sign of life")
        return self._named(i, f"is silent: {seat.silence}" if seat.silence else seat.why)

    def _named(self, i: int, words: str) -> str:
        return f"site {self._names[i]} {words}"
