"""Who is there: our own membership, with short deadlines, over any transport.

A transport that does not notice a dead site would make the server wait for its whole deadline.
So every site is asked for a sign of life every `PING_S`: one that gives none for `silent_s` is
away, and one whose process is another one than before has forgotten its round; neither is waited
for any longer. A site that comes back says hello, gets its session and is in the next round.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import NamedTuple

from fedket._version import __version__
from fedket.deploy.party_keys import PartyKeys
from fedket.errors import FedketError, ProtocolError
from fedket.secure.phases import Failure, Outcome, Outcomes, Payload, Phase, Reply

PING_S = 1.0
POLL_S = 0.2

Call = Callable[[int, str, Payload, float], Outcome]
"""(site, action, payload, seconds) -> what it answered; never raises what is the site's fault."""


class Waits(NamedTuple):
    """How long the server waits, in seconds; see `FederationFile`."""

    phase_s: float
    training_s: float
    join_s: float
    silent_s: float
    key_s: float


class Session(NamedTuple):
    """What every site is told when it joins."""

    name: str
    classes: int
    largest: int


@dataclass(slots=True)
class Seat:
    """A site as the server sees it."""

    hello: Mapping[str, object] = field(default_factory=dict)
    instance: str = ""
    ready: str = ""
    """Instance that has its session."""
    member: str = ""
    """Instance whose links are in line: it takes part."""
    heard: float = 0.0
    why: str = "has not said hello yet"


class SiteCrew:
    """`fedket.deploy.rounds.Crew` over calls to sites.

    Args:
        names: Names of the sites, in order.
        experiment: Fingerprint of the experiment that every site must have.
        call: Transport.
        waits: How long to wait.
        training: Actions that take training.
        least: Sites without which no round begins.
        say: Where news of sites go.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        experiment: str,
        call: Call,
        waits: Waits,
        training: frozenset[str],
        least: int,
        say: Callable[[str], None],
    ) -> None:
        self._names, self._experiment, self._call, self._waits = names, experiment, call, waits
        self._training, self._least, self._say = training, least, say
        self._seats = {i: Seat() for i in range(len(names))}
        self._session: Session | None = None
        self._keys: PartyKeys | None = None
        self._lock, self._closed = Lock(), Event()
        self._pool = ThreadPoolExecutor(max_workers=4 * len(names) + 4)
        for i in self._seats:
            Thread(target=self._watch, args=(i,), daemon=True).start()

    def close(self) -> None:
        """Stop watching; whoever still answers is not heard."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def meet(self) -> dict[int, Mapping[str, object]]:
        """Wait for the sites to say hello, `join_s` at most; return what they said.

        Raises:
            ProtocolError: Too few came, naming the others.
        """
        self._wait_until(lambda: len(self._greeted()) == len(self._seats))
        here = self._greeted()
        if len(here) < self._least:
            raise ProtocolError(
                f"{len(here)} of {len(self._seats)} sites came within {self._waits.join_s:g} s, "
                f"{self._least} are needed; {self._who_is_missing()}"
            )
        return here

    def open(self, name: str, classes: int, keys: PartyKeys) -> None:
        """Begin a session: from now on sites that come get in."""
        largest = max(_number(hello, "samples") for hello in self._greeted().values())
        self._keys, self._session = keys, Session(name, classes, largest)
        greeted = set(self._greeted())
        self._wait_until(lambda: greeted <= self._where(lambda seat: seat.ready == seat.instance))

    def gather(self) -> dict[int, int]:
        """Let in who is ready; return the samples of every site that takes part.

        Raises:
            ProtocolError: Too few are there, even after `join_s`.
        """
        end = time.monotonic() + self._waits.join_s
        self._admit()
        while len(members := self._members()) < self._least and time.monotonic() < end:
            time.sleep(POLL_S)
            self._admit()
        if len(members) < self._least:
            raise ProtocolError(
                f"{len(members)} of {len(self._seats)} sites are there, {self._least} are needed; "
                f"{self._who_is_missing()}; start them and resume"
            )
        return {i: _number(self._seats[i].hello, "samples") for i in sorted(members)}

    def absent(self) -> dict[int, str]:
        """Who is away, and why."""
        members = self._members()
        return {i: self._reason(i) for i in self._seats if i not in members}

    def execute(self, phase: Phase) -> Outcomes:
        """Ask sites at the same time; a site that is away is not waited for."""
        seconds = self._deadline(phase)
        instances = {i: self._seats[i].instance for i in phase.to}
        asked = {
            self._pool.submit(self._call, i, phase.action, phase.payload_for(i), seconds): i
            for i in phase.to
        }
        outcomes: dict[int, Outcome] = {}
        end = time.monotonic() + seconds
        while asked and time.monotonic() < end:
            done, _ = wait(asked, timeout=POLL_S, return_when="FIRST_COMPLETED")
            for future in done:
                site = asked.pop(future)
                outcomes[site] = self._outcome(site, future)
            for future, site in list(asked.items()):
                if self._lost(site, instances[site]):
                    del asked[future]
                    outcomes[site] = Failure(self._reason(site))
        late = f"did not answer `{phase.action}` within {seconds:g} s"
        return outcomes | {i: Failure(f"site {self._names[i]} {late}") for i in asked.values()}

    def _outcome(self, i: int, future: "Future[Outcome]") -> Outcome:
        outcome = future.result()
        if isinstance(outcome, Failure):
            self._say(f"site {self._names[i]}: {outcome.reason}")
        return outcome

    def _deadline(self, phase: Phase) -> float:
        if phase.action in self._training:
            return self._waits.training_s
        return self._waits.key_s if phase.action == "fill" else self._waits.phase_s

    def _watch(self, i: int) -> None:
        """One site's sign of life, and its way in."""
        seat = self._seats[i]
        while not self._closed.is_set():
            outcome = self._call(i, "ping", {}, max(PING_S, self._waits.silent_s / 2))
            if isinstance(outcome, Reply):
                instance = str(outcome.payload.get("instance", ""))
                if instance != seat.instance:
                    self._greet(i, instance)
                seat.heard = time.monotonic()
                if self._session and seat.hello and seat.ready != seat.instance:
                    self._set_up(i, self._session)
            elif not self._heard(i):
                seat.why = f"is silent: {outcome.reason}"
            self._closed.wait(PING_S)

    def _greet(self, i: int, instance: str) -> None:
        """Ask a process that was not known who it is."""
        seat, was = self._seats[i], self._seats[i].instance
        outcome = self._call(i, "hello", {}, self._waits.training_s)
        problem = outcome.reason if isinstance(outcome, Failure) else self._mismatch(i, outcome)
        seat.hello = {} if problem or isinstance(outcome, Failure) else outcome.payload
        seat.instance, seat.why = instance, problem or "waits for the next round"
        news = f"was refused: {problem}" if problem else "is here again" if was else "is here"
        self._say(f"site {self._names[i]} {news}")

    def _mismatch(self, i: int, reply: Reply) -> str:
        """Why a site cannot take part; empty if it can."""
        said, first = reply.payload, next(iter(self._greeted().values()), reply.payload)
        checks: list[tuple[str, object, object]] = [
            ("name", self._names[i], said.get("name")),
            ("number", i, said.get("client")),
            ("version of fedket", __version__, said.get("version")),
            ("experiment's fingerprint", self._experiment, said.get("experiment")),
            ("shape of a sample", first.get("features"), said.get("features")),
        ]
        for what, wanted, arrived in checks:
            if wanted != arrived:
                return f"its {what} is {arrived!r}, the federation's is {wanted!r}"
        try:
            empty = min(_number(said, "samples"), _number(said, "classes")) < 1
        except ProtocolError as error:
            return str(error)
        return "it has no samples" if empty else ""

    def _set_up(self, i: int, session: Session) -> None:
        seat = self._seats[i]
        request: Payload = {
            "session": session.name,
            "classes": session.classes,
            "largest": session.largest,
        }
        instance = seat.instance
        outcome = self._call(i, "setup", request, self._waits.training_s)
        if isinstance(outcome, Reply):
            seat.ready, seat.heard = instance, time.monotonic()
        else:
            seat.why = f"could not begin: {outcome.reason}"

    def _admit(self) -> None:
        """Bring newcomers' links in line with everybody; then they are members."""
        new = self._newcomers()
        if not new or self._keys is None:
            return
        instances = {i: self._seats[i].instance for i in new}
        old = self._members()
        each: dict[int, Payload] = {i: {"peers": sorted((new | old) - {i})} for i in new}
        each |= {i: {"peers": sorted(new)} for i in old}
        outcomes = self.execute(Phase("links", tuple(each), {}, 0.0, each))
        for i in sorted(new):
            try:
                self._keys.links([i])
            except FedketError as error:
                outcomes = {**outcomes, i: Failure(str(error))}
        for i, outcome in outcomes.items():
            if isinstance(outcome, Failure):
                self._seats[i].why = f"has links that are not in line: {outcome.reason}"
            elif i in instances:
                self._seats[i].member = instances[i]

    def _lost(self, i: int, instance: str) -> bool:
        return not self._heard(i) or self._seats[i].instance != instance

    def _heard(self, i: int) -> bool:
        return time.monotonic() - self._seats[i].heard < self._waits.silent_s

    def _reason(self, i: int) -> str:
        seat = self._seats[i]
        if seat.member and seat.member != seat.instance != seat.ready:
            return f"site {self._names[i]} was restarted"
        if seat.member and not self._heard(i):
            return f"site {self._names[i]} gives no sign of life"
        return f"site {self._names[i]} {seat.why}"

    def _where(self, test: Callable[[Seat], bool]) -> set[int]:
        return {i for i, seat in self._seats.items() if test(seat)}

    def _greeted(self) -> dict[int, Mapping[str, object]]:
        return {i: seat.hello for i, seat in self._seats.items() if seat.hello}

    def _members(self) -> set[int]:
        here = self._where(lambda seat: bool(seat.member) and seat.member == seat.instance)
        return {i for i in here if self._heard(i)}

    def _newcomers(self) -> set[int]:
        ready = self._where(lambda s: bool(s.ready) and s.ready == s.instance != s.member)
        return {i for i in ready if self._heard(i)}

    def _who_is_missing(self) -> str:
        return "; ".join(self.absent().values()) or "nobody is away"

    def _wait_until(self, test: Callable[[], bool]) -> None:
        end = time.monotonic() + self._waits.join_s
        while not test() and time.monotonic() < end:
            time.sleep(POLL_S / 4)


def _number(said: Mapping[str, object], name: str) -> int:
    value = said.get(name)
    if not isinstance(value, int):
        raise ProtocolError(f"its `{name}` is {value!r}, which is no number")
    return value
