"""Links that bring no key: whose end is at fault, and for how long that party is left alone.

A site fills the streams it sends on, so one bad key manager makes everybody else's filling fail.
Who fails to fill is therefore not who is left out: each end says on which links, and at which end,
and the fewest parties are left out whose links are all that failed. Each is asked again after 5 s,
then 10, 20 and so on; what it cannot fetch meanwhile holds up nobody.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from fedket.errors import KeyMaterialError
from fedket.secure.phases import Payload, integers
from fedket.types import SERVER

FIRST_S, LONGEST_S = 5.0, 300.0
"""Seconds that a party is left alone, at first and at most."""


class LinkFault(NamedTuple):
    """A link that brings no key, as one of its ends tells.

    Attributes:
        teller: Who tells.
        peer: The other end.
        theirs: Whether the fault is the other end's.
        why: One line.
    """

    teller: int
    peer: int
    theirs: bool
    why: str

    @property
    def accused(self) -> int:
        """Whose end is said to be at fault."""
        return self.peer if self.theirs else self.teller


class LinksWithoutKeyError(KeyMaterialError):
    """Some of a party's links bring no key.

    Attributes:
        faults: Which, and why.
    """

    def __init__(self, faults: Iterable[LinkFault]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults[0].why)


def told(faults: Collection[LinkFault]) -> Payload:
    """What a site tells of its faulty links."""
    return {
        "faulty": [fault.peer for fault in faults],
        "theirs": [int(fault.theirs) for fault in faults],
        "why": "\n".join(" ".join(fault.why.split()) for fault in faults),
    }


def heard(teller: int, payload: Payload) -> list[LinkFault]:
    """The faults that a site told of, as far as they make sense."""
    if "faulty" not in payload:
        return []
    peers, theirs = integers(payload, "faulty"), integers(payload, "theirs")
    whys = str(payload.get("why", "")).split("\n")
    return [
        LinkFault(teller, peer, bool(their), why[:1000])
        for peer, their, why in zip(peers, theirs, whys, strict=False)
        if peer != teller
    ]


def to_leave_out(faults: Iterable[LinkFault], past: Mapping[int, int]) -> dict[int, str]:
    """Choose parties without whom no faulty link is left, and say why.

    Who has most faulty links goes first; of two, who had to do with more of them in the past, then
    who is accused more: a party that accuses others at random is found out the second time. The
    server is chosen where all its links are faulty.

    Args:
        faults: What was told.
        past: Party -> faults that it had to do with.
    """
    left, out = list(faults), dict[int, str]()
    while left:
        links = {frozenset((fault.teller, fault.peer)) for fault in left}
        faulty = Counter(party for link in links for party in link)
        accused = Counter(fault.accused for fault in left)
        worst = max(
            faulty, key=lambda p: (faulty[p] - (p == SERVER), past.get(p, 0), accused[p], p)
        )
        own = [f for f in left if worst in (f.teller, f.peer)]
        out[worst] = next((f.why for f in own if f.accused == worst), own[0].why)
        left = [fault for fault in left if fault not in own]
    return out


class Keyless:
    """Who is left alone, and until when.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._past: Counter[int] = Counter()
        self._tries: Counter[int] = Counter()
        self._until: dict[int, tuple[float, str]] = {}

    def judge(self, faults: Collection[LinkFault]) -> dict[int, str]:
        """Choose who is left out because of faulty links; it is left alone for a while."""
        out = to_leave_out(faults, self._past)
        for fault in faults:
            self._past.update((fault.teller, fault.peer))
        for party, why in out.items():
            if party != SERVER:
                self.leave_alone(party, why)
        return out

    def leave_alone(self, party: int, why: str) -> None:
        """Let a party be, for twice as long as the time before."""
        seconds = min(LONGEST_S, FIRST_S * 2.0 ** self._tries[party])
        self._tries[party] += 1
        self._until[party] = (self._clock() + seconds, why)

    def resting(self) -> dict[int, str]:
        """Who is left alone now, and why."""
        now = self._clock()
        return {
            party: f"site {party} gets no key ({why}); it is asked again in {until - now:.0f} s"
            for party, (until, why) in self._until.items()
            if until > now
        }

    def has_key(self, parties: Iterable[int]) -> None:
        """Forget the faults of parties that have key again."""
        for party in parties:
            self._until.pop(party, None)
            self._tries.pop(party, None)
