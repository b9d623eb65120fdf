"""Heartbeats of every site, and the way in for processes that are new."""

import time
from collections.abc import Callable
from threading import Event, Thread

from fedket.deploy.broadcast import Broadcaster, Timeouts
from fedket.deploy.handshake import PROTOCOL, SessionTerms, misfit_of, problem_of
from fedket.deploy.members import MemberTable
from fedket.deploy.messages import heard
from fedket.deploy.site_problems import DOING, LEFT_OUT
from fedket.secure.phases import Failure, Outcome, Payload, Phase, Reply


class HeartbeatMonitor:
    """Asks all sites for heartbeats, in threads of its own, and writes into the member table.

    Also while a site completes its handshake or compiles: one that is killed then, or cut off, is
    not waited for, and its next process is seen at once.

    Args:
        names: Names of the sites, in order.
        experiment: Fingerprint of the experiment that every site must have.
        table: Where everything is noted.
        broadcaster: Its way to sites.
        timeouts: How long to wait.
        say: Where news of sites go; called from several threads.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        experiment: str,
        table: MemberTable,
        broadcaster: Broadcaster,
        timeouts: Timeouts,
        say: Callable[[str], None],
    ) -> None:
        self._names, self._experiment, self._table = names, experiment, table
        self._broadcaster, self._timeouts, self._say = broadcaster, timeouts, say
        self._terms: SessionTerms | None = None
        self._opened, self._closed = Event(), broadcaster.closed
        for i in range(len(names)):
            Thread(target=self._watch, args=(i,), daemon=True).start()

    def begin(self, terms: SessionTerms) -> None:
        """From now on, sites get a session."""
        self._terms = terms
        self._opened.set()

    def close(self) -> None:
        """Stop; whoever still answers is not heard."""
        self._closed.set()
        self._opened.set()

    def refuse(self, i: int, instance: str, problem: str) -> None:
        """Keep a process out, and say why."""
        why = f"was refused: {problem}"
        if self._table.note(i, instance, handshake={}, refused=True, why=why):
            self._say(f"site {self._names[i]} {why}")

    def _watch(self, i: int) -> None:
        """Ask for heartbeats; a new process is let in by a thread of its own."""
        while not self._closed.is_set():
            seconds = max(self._timeouts.heartbeat_s, self._table.patience(i) / 2)
            why = self._table.told(i)
            told: Payload = {LEFT_OUT: why} if why else {}
            asked = time.monotonic()
            outcome = self._broadcaster.call(i, "heartbeat", told, seconds, self._closed)
            if isinstance(outcome, Failure):
                self._table.silent(i, outcome.reason)
            else:
                self._heard(i, outcome, time.monotonic() - asked)
            self._closed.wait(self._timeouts.heartbeat_s)

    def _heard(self, i: int, reply: Reply, took_s: float) -> None:
        doing = reply.payload.get(DOING)
        self._table.note_doing(i, heard(doing) if isinstance(doing, str) else "")
        instance = reply.payload.get("instance")
        if not isinstance(instance, str) or not instance:
            self._table.silent(i, "its heartbeat names no process")
        elif self._table.heard(i, instance, took_s):
            Thread(target=self._let_in, args=(i, instance), daemon=True).start()

    def _let_in(self, i: int, instance: str) -> None:
        """A process's way in, until it is ready, refused or replaced."""
        steps = [self._greet, self._set_up]
        while steps and not self._closed.is_set() and self._table.may_enter(i, instance):
            if steps[0](i, instance):
                del steps[0]
            else:
                self._closed.wait(self._timeouts.heartbeat_s)

    def _greet(self, i: int, instance: str) -> bool:
        """Ask a process who it is; returns whether it answered."""
        greeting: Payload = {"experiment": self._experiment, "protocol": PROTOCOL}
        outcome = self._ask(i, instance, "handshake", greeting)
        if isinstance(outcome, Failure):
            self._put_off(i, instance, f"did not complete the handshake: {outcome.reason}")
            return False
        said = outcome.payload
        if problem := problem_of(said, self._names[i], i, self._experiment):
            self.refuse(i, instance, problem)
        elif self._table.note(i, instance, handshake=said, stuck=False):
            self._say(f"site {self._names[i]} is here")
        return True

    def _set_up(self, i: int, instance: str) -> bool:
        """Give a process its session, as soon as there is one; returns whether it took it."""
        self._opened.wait()
        terms, said = self._terms, self._table.handshake(i, instance)
        if terms is None or not said:
            return False
        if problem := misfit_of(said, i, terms):
            self.refuse(i, instance, problem)
            return False
        samples = dict(terms.samples)  # others may add theirs meanwhile
        request: Payload = {
            "session": terms.name,
            "classes": terms.classes,
            "largest": terms.largest,
            "sites": list(samples),
            "samples": list(samples.values()),
        }
        outcome = self._ask(i, instance, "setup", request)
        if isinstance(outcome, Failure):
            reason = outcome.reason.removeprefix(f"site {self._names[i]} ")
            self._put_off(i, instance, f"could not begin: {reason}")
            return False
        self._table.note(i, instance, ready=True, stuck=False, why="waits for the next round")
        return True

    def _ask(self, i: int, instance: str, action: str, payload: Payload) -> Outcome:
        return self._broadcaster.ask(Phase(action, (i,), payload, 0.0), {i: instance})[i]

    def _put_off(self, i: int, instance: str, why: str) -> None:
        """Say once why a process is not in yet; it is asked again."""
        if self._table.note(i, instance, why=why, stuck=True):
            self._say(f"site {self._names[i]} {why}")
