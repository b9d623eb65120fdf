"""What the server knows of its sites. Every method may be called from any thread.

Whatever is learnt of a site belongs to one process of it: news of a process that another one has
replaced meanwhile is not noted.
"""

import math
import time
from collections.abc import Callable, Mapping
from threading import Lock
from types import MappingProxyType
from typing import Any, NamedTuple

from fedket.deploy.handshake import Handshake

FADING = 0.9
"""How much of a slow heartbeat is remembered at the next one."""


class Member(NamedTuple):
    """A site as the server sees it.

    Attributes:
        instance: The process that sent the last heartbeat.
        heard: When it sent it.
        took_s: Seconds that its slowest heartbeat of late was under way, question and answer.
        handshake: What it said of itself, if it may take part.
        refused: Whether it may not.
        ready: Whether it has its session.
        admitted: Whether its links are in line, so that it takes part.
        why: Why it does not.
        silence: Why the last heartbeat did not come.
        stuck: Whether its last step towards a session failed; it is asked again.
    """

    instance: str = ""
    heard: float = -math.inf
    took_s: float = 0.0
    handshake: Handshake = MappingProxyType({})
    refused: bool = False
    ready: bool = False
    admitted: bool = False
    why: str = "has not completed the handshake yet"
    silence: str = ""
    stuck: bool = False


class MemberTable:
    """All sites as the server sees them.

    Args:
        names: Names of the sites, in order.
        silent_s: Seconds without a heartbeat after which a site is away.
        clock: Tells them.
    """

    def __init__(
        self, names: tuple[str, ...], silent_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._names, self._silent_s, self._lock, self._clock = names, silent_s, Lock(), clock
        self._members = dict.fromkeys(range(len(names)), Member())
        self._left_out: dict[int, str] = {}
        self._doing: dict[int, str] = {}

    def heard(self, i: int, instance: str, took_s: float = 0.0) -> bool:
        """Note a heartbeat and how long it took; returns whether it comes from a new process."""
        now = self._clock()
        with self._lock:
            member = self._members[i]
            slowest = max(took_s, FADING * member.took_s)
            if member.instance == instance:
                self._members[i] = member._replace(heard=now, took_s=slowest)
                return False
            why = "was restarted" if member.instance else "is starting"
            self._members[i] = Member(instance, now, slowest, why=why)
            return True

    def patience(self, i: int) -> float:
        """Seconds without a heartbeat after which a site is away."""
        return self._patience(self._member(i))

    def note_doing(self, i: int, what: str) -> None:
        """Note what a site says that it waits for, or nothing."""
        with self._lock:
            self._doing[i] = what

    def doing(self, i: int) -> str:
        """What a site says that it waits for, or nothing."""
        with self._lock:
            return self._doing.get(i, "")

    def silent(self, i: int, reason: str) -> None:
        """Note that a heartbeat did not come."""
        with self._lock:
            self._members[i] = self._members[i]._replace(silence=reason)

    def note(self, i: int, instance: str, **changes: Any) -> bool:
        """Note news of a process; returns whether it is news, of a process that is there."""
        with self._lock:
            member = self._members[i]
            if member.instance != instance or member == member._replace(**changes):
                return False
            self._members[i] = member._replace(**changes)
            return True

    def may_enter(self, i: int, instance: str) -> bool:
        """Whether a process is still the site's, and was not refused."""
        member = self._member(i)
        return member.instance == instance and not member.refused

    def handshake(self, i: int, instance: str) -> Handshake:
        """Return what a process said of itself, or nothing."""
        member = self._member(i)
        return member.handshake if member.instance == instance else {}

    def away(self, i: int, instance: str) -> str:
        """Why a process is not to be waited for, or nothing."""
        member = self._member(i)
        if member.instance != instance:
            return self._named(i, "was restarted")
        return "" if self._is_heard(member) else self._reason(i, member)

    def absent(self) -> dict[int, str]:
        """Who takes no part, and why."""
        return {
            i: self._reason(i, member)
            for i, member in self._all().items()
            if not self._is_in(member)
        }

    def accepted(self) -> dict[int, Member]:
        """Whose handshake was accepted."""
        return self._where(lambda member: bool(member.handshake))

    def known(self) -> set[int]:
        """Of whom it is known whether they may take part."""
        return set(self._where(lambda member: bool(member.handshake) or member.refused))

    def tell(self, left_out: Mapping[int, str]) -> None:
        """Note who was left out of the latest round, and why, to be told to them."""
        with self._lock:
            self._left_out = dict(left_out)

    def told(self, i: int) -> str:
        """Why a site is left out, in words for its own operator, or nothing."""
        member = self._member(i)
        if member.refused or member.stuck:
            return member.why
        with self._lock:
            return self._left_out.get(i, "") if member.admitted else ""

    def members(self) -> dict[int, Member]:
        """Who takes part."""
        return self._where(self._is_in)

    def admitted(self) -> dict[int, Member]:
        """Who takes part, or would if it sent a heartbeat."""
        return self._where(lambda member: member.admitted)

    def newcomers(self) -> dict[int, Member]:
        """Who has a session and waits to take part."""
        return self._where(
            lambda member: member.ready and not member.admitted and self._is_heard(member)
        )

    def preparing(self) -> dict[int, Member]:
        """Who was accepted and has no session yet."""
        return self._where(
            lambda member: bool(member.handshake) and not member.ready and self._is_heard(member)
        )

    def coming(self) -> dict[int, Member]:
        """Who takes no part yet, but is on its way: it starts, compiles, or its links are next."""
        return self._where(lambda m: not (m.admitted or m.refused or m.stuck) and self._is_heard(m))

    def _where(self, test: Callable[[Member], bool]) -> dict[int, Member]:
        return {i: member for i, member in self._all().items() if test(member)}

    def _all(self) -> Mapping[int, Member]:
        with self._lock:
            return dict(self._members)

    def _member(self, i: int) -> Member:
        with self._lock:
            return self._members[i]

    def _is_heard(self, member: Member) -> bool:
        return self._clock() - member.heard < self._patience(member)

    def _patience(self, member: Member) -> float:
        return self._silent_s + 4 * member.took_s

    def _is_in(self, member: Member) -> bool:
        return member.admitted and self._is_heard(member)

    def _reason(self, i: int, member: Member) -> str:
        if member.refused or self._is_heard(member):
            return self._named(i, member.why)
        if member.instance:
            return self._named(i, "sends no heartbeat")
        return self._named(i, f"is silent: {member.silence}" if member.silence else member.why)

    def _named(self, i: int, words: str) -> str:
        return f"site {self._names[i]} {words}"
