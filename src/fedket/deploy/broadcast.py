"""Broadcasts to sites: all at the same time, none waited for longer than it is there.

A call has a thread of its own, so that nothing queues behind it. One that is not waited for any
longer is abandoned: its transport gives it up, instead of holding on to it until its time is over,
which would keep a run from ending for as long as training may take.

Large messages get more time than others: what they need at `SLOWEST_BPS`, or at a quarter of the
speed at which the site was sent something large before. A site that dies meanwhile is not waited
for: it sends no heartbeat.
"""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from threading import Event, Thread
from typing import NamedTuple

from fedket.deploy.members import MemberTable
from fedket.secure.metering import payload_bytes
from fedket.secure.phases import (
    Failure,
    Outcome,
    Outcomes,
    Payload,
    Phase,
    Reply,
    integers,
)

POLL_S = 0.2
"""How often a broadcast looks whether a site is still there."""

SLOWEST_BPS = 10**6
"""Bits per second that a link is taken to carry at least."""

LINK_S = 2.0
"""Seconds more that a site has for each link that it is to bring in line: forty sites have 780."""

TELLING = 2**18
"""Bytes of a message that tell how fast a link is; smaller ones tell how far it is."""

PATIENCE_S = 10.0
"""After so long it is said who is waited for; and again, each time after three times as long."""

log = logging.getLogger(__name__)

Call = Callable[[int, str, Payload, float, Event], Outcome]
"""(site, action, payload, seconds, abandoned) -> what it answered.

Once `abandoned` is set nobody hears the answer: the call is to return within a second or two.
"""


class Timeouts(NamedTuple):
    """How long the server waits, in seconds; see `FederationFile`."""

    phase_s: float
    training_s: float
    join_s: float
    silent_s: float
    key_s: float
    heartbeat_s: float = 1.0


class Broadcaster:
    """Carries phases to processes of sites.

    Args:
        names: Names of the sites, in order.
        table: Who is there.
        call: Transport.
        timeouts: How long to wait.
        training: Actions that take training; so does `handshake`, for which a site reads samples.
        closed: Set when the run ends: nobody is asked any more.
        say: Told what is waited for, if it takes long.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        table: MemberTable,
        call: Call,
        timeouts: Timeouts,
        training: frozenset[str],
        closed: Event,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._names, self._table, self._call, self._timeouts = names, table, call, timeouts
        self._say, self.closed = say, closed
        self._training = training | {"handshake"}
        self._seconds_per_byte: dict[int, float] = {}

    def ask(self, phase: Phase, processes: Mapping[int, str]) -> Outcomes:
        """Ask, until everybody has answered, is away or is late.

        Args:
            phase: What to ask; the wait is this object's own, not the phase's.
            processes: Site -> the process that is meant, and none that takes its place.
        """
        asked: dict[Future[Outcome], int] = {}
        outcomes: dict[int, Outcome] = {}
        abandoned = {i: Event() for i in phase.to}
        patience = {i: self._patience(phase, i) for i in phase.to}
        start = time.monotonic()
        speak = start + PATIENCE_S
        for i in phase.to:
            if away := self._table.away(i, processes.get(i, "")):
                outcomes[i] = Failure(away)
            else:
                asked[self._start(phase, i, patience[i], abandoned[i])] = i
        while asked:
            done, _ = wait(asked, timeout=POLL_S, return_when="FIRST_COMPLETED")
            for future in done:
                outcomes[asked.pop(future)] = future.result()
            for future, i in list(asked.items()):
                if away := self._table.away(i, processes[i]) or self._late(
                    phase, i, patience, start
                ):
                    del asked[future]
                    outcomes[i] = Failure(away)
                    abandoned[i].set()
            if asked and len(phase.to) > 1 and (now := time.monotonic()) > speak:
                speak = now + 2 * (now - start)
                most = max(patience[i] for i in asked.values())
                self._say(self._waits(phase.action, sorted(asked.values()), now - start, most))
        return outcomes

    def call(
        self, i: int, action: str, payload: Payload, seconds: float, abandoned: Event
    ) -> Outcome:
        """Ask one site; whatever goes wrong with its answer is its failure."""
        try:
            return self._call(i, action, payload, seconds, abandoned)
        except Exception as error:
            kind = type(error).__name__
            log.error("site %s answered `%s`", self._names[i], action, exc_info=error)
            return Failure(f"site {self._names[i]} answered `{action}` with what raised {kind}")

    def _start(self, phase: Phase, i: int, seconds: float, abandoned: Event) -> "Future[Outcome]":
        future: Future[Outcome] = Future()

        def call() -> None:
            start, payload = time.monotonic(), phase.payload_for(i)
            answer = self.call(i, phase.action, payload, seconds, abandoned)
            if (size := payload_bytes(payload)) > TELLING and isinstance(answer, Reply):
                self._seconds_per_byte[i] = (time.monotonic() - start) / size
            future.set_result(answer)

        Thread(target=call, daemon=True).start()
        return future

    def _late(self, phase: Phase, i: int, patience: Mapping[int, float], start: float) -> str:
        """Why a site's answer is not waited for any longer, or nothing."""
        if not self.closed.is_set() and time.monotonic() - start <= patience[i]:
            return ""
        late = f"did not answer `{phase.action}` within {round(patience[i], 1):g} s"
        return f"site {self._names[i]} {late}"

    def _patience(self, phase: Phase, i: int) -> float:
        """Seconds that a site has for its answer."""
        most, payload = 8 / SLOWEST_BPS, phase.payload_for(i)
        num_bytes = payload_bytes(payload) + phase.answer_bytes
        transfer = num_bytes * min(most, 4 * self._seconds_per_byte.get(i, most))
        links = LINK_S * len(integers(payload, "peers")) if phase.action == "links" else 0.0
        return self._deadline(phase.action) + transfer + links

    def _waits(self, action: str, sites: list[int], so_far: float, seconds: float) -> str:
        """What is waited for, as far as the sites say themselves."""
        doing = {i: self._table.doing(i) for i in sites}
        of = ", ".join(
            f"{self._names[i]} ({why})" if why else self._names[i] for i, why in doing.items()
        )
        return f"waiting for `{action}` of {of}: {so_far:.0f} s so far, {seconds:.0f} s at most"

    def _deadline(self, action: str) -> float:
        if action in self._training:
            return self._timeouts.training_s
        return self._timeouts.key_s if action == "fill" else self._timeouts.phase_s
