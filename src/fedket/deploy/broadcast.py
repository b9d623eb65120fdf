"""Broadcasts to sites: all at the same time, none waited for longer than it is there.

A call that is not waited for any longer goes on in a thread of its own until its time is over:
nothing may queue behind it, and the process may end without it.
"""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from threading import Thread
from typing import NamedTuple

from fedket.deploy.members import MemberTable
from fedket.secure.phases import Failure, Outcome, Outcomes, Payload, Phase

POLL_S = 0.2
"""How often a broadcast looks whether a site is still there."""

log = logging.getLogger(__name__)

Call = Callable[[int, str, Payload, float], Outcome]
"""(site, action, payload, seconds) -> what it answered."""


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
    """

    def __init__(
        self,
        names: tuple[str, ...],
        table: MemberTable,
        call: Call,
        timeouts: Timeouts,
        training: frozenset[str],
    ) -> None:
        self._names, self._table, self._call, self._timeouts = names, table, call, timeouts
        self._training = training | {"handshake"}

    def ask(self, phase: Phase, processes: Mapping[int, str]) -> Outcomes:
        """Ask, until everybody has answered, is away or is late.

        Args:
            phase: What to ask; the wait is this object's own, not the phase's.
            processes: Site -> the process that is meant, and none that takes its place.
        """
        seconds = self._deadline(phase.action)
        asked: dict[Future[Outcome], int] = {}
        outcomes: dict[int, Outcome] = {}
        for i in phase.to:
            if away := self._table.away(i, processes.get(i, "")):
                outcomes[i] = Failure(away)
            else:
                asked[self._start(i, phase.action, phase.payload_for(i), seconds)] = i
        end = time.monotonic() + seconds
        while asked and (left := end - time.monotonic()) > 0:
            done, _ = wait(asked, timeout=min(POLL_S, left), return_when="FIRST_COMPLETED")
            for future in done:
                outcomes[asked.pop(future)] = future.result()
            for future, i in list(asked.items()):
                if away := self._table.away(i, processes[i]):
                    del asked[future]
                    outcomes[i] = Failure(away)
        late = f"did not answer `{phase.action}` within {seconds:g} s"
        return outcomes | {i: Failure(f"site {self._names[i]} {late}") for i in asked.values()}

    def call(self, i: int, action: str, payload: Payload, seconds: float) -> Outcome:
        """Ask one site; whatever goes wrong with its answer is its failure."""
        try:
            return self._call(i, action, payload, seconds)
        except Exception as error:
            kind = type(error).__name__
            log.error("site %s answered `%s`", self._names[i], action, exc_info=error)
            return Failure(f"site {self._names[i]} answered `{action}` with what raised {kind}")

    def _start(self, i: int, action: str, payload: Payload, seconds: float) -> "Future[Outcome]":
        future: Future[Outcome] = Future()

        def call() -> None:
            future.set_result(self.call(i, action, payload, seconds))

        Thread(target=call, daemon=True).start()
        return future

    def _deadline(self, action: str) -> float:
        if action in self._training:
            return self._timeouts.training_s
        return self._timeouts.key_s if action == "fill" else self._timeouts.phase_s
