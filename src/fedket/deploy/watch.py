"""Signs of life of every site, and the way in for processes that are new."""

from collections.abc import Callable
from threading import Event, Thread

from fedket.deploy.asking import Asker, Call, Waits
from fedket.deploy.hello import Session, misfit_of, problem_of
from fedket.deploy.roll import Roll
from fedket.secure.phases import Failure, Outcome, Payload, Phase, Reply


class Watch:
    """Watches all sites in threads of its own and writes into the roll.

    Signs of life are asked for while a site says hello or compiles too: one that is killed then,
    or cut off, is not waited for, and its next process is seen at once.

    Args:
        names: Names of the sites, in order.
        experiment: Fingerprint of the experiment that every site must have.
        roll: Where everything is noted.
        call: Transport.
        asker: Its way to sites that are there.
        waits: How long to wait.
        say: Where news of sites go; called from several threads.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        experiment: str,
        roll: Roll,
        call: Call,
        asker: Asker,
        waits: Waits,
        say: Callable[[str], None],
    ) -> None:
        self._names, self._experiment, self._roll = names, experiment, roll
        self._call, self._asker, self._waits, self._say = call, asker, waits, say
        self._session: Session | None = None
        self._opened, self._closed = Event(), Event()
        for i in range(len(names)):
            Thread(target=self._watch, args=(i,), daemon=True).start()

    def open(self, session: Session) -> None:
        """From now on, sites get a session."""
        self._session = session
        self._opened.set()

    def close(self) -> None:
        """Stop; whoever still answers is not heard."""
        self._closed.set()
        self._opened.set()

    def refuse(self, i: int, instance: str, problem: str) -> None:
        """Keep a process out, and say why."""
        why = f"was refused: {problem}"
        if self._roll.note(i, instance, hello={}, refused=True, why=why):
            self._say(f"site {self._names[i]} {why}")

    def _watch(self, i: int) -> None:
        """Ask for signs of life; a new process is let in by a thread of its own."""
        seconds = max(self._waits.ping_s, self._waits.silent_s / 2)
        while not self._closed.is_set():
            outcome = self._call(i, "ping", {}, seconds)
            if isinstance(outcome, Failure):
                self._roll.silent(i, outcome.reason)
            else:
                self._heard(i, outcome)
            self._closed.wait(self._waits.ping_s)

    def _heard(self, i: int, reply: Reply) -> None:
        instance = reply.payload.get("instance")
        if not isinstance(instance, str) or not instance:
            self._roll.silent(i, "its sign of life names no process")
        elif self._roll.heard(i, instance):
            Thread(target=self._let_in, args=(i, instance), daemon=True).start()

    def _let_in(self, i: int, instance: str) -> None:
        """A process's way in, until it is ready, refused or replaced."""
        steps = [self._greet, self._set_up]
        while steps and not self._closed.is_set() and self._roll.may_enter(i, instance):
            if steps[0](i, instance):
                del steps[0]
            else:
                self._closed.wait(self._waits.ping_s)

    def _greet(self, i: int, instance: str) -> bool:
        """Ask a process who it is; returns whether it answered."""
        outcome = self._ask(i, instance, "hello", {})
        if isinstance(outcome, Failure):
            self._put_off(i, instance, f"did not say hello: {outcome.reason}")
            return False
        said = outcome.payload
        if problem := problem_of(said, self._names[i], i, self._experiment):
            self.refuse(i, instance, problem)
        elif self._roll.note(i, instance, hello=said):
            self._say(f"site {self._names[i]} is here")
        return True

    def _set_up(self, i: int, instance: str) -> bool:
        """Give a process its session, as soon as there is one; returns whether it took it."""
        self._opened.wait()
        session, said = self._session, self._roll.hello(i, instance)
        if session is None or not said:
            return False
        if problem := misfit_of(said, session):
            self.refuse(i, instance, problem)
            return False
        request: Payload = {
            "session": session.name,
            "classes": session.classes,
            "largest": session.largest,
        }
        outcome = self._ask(i, instance, "setup", request)
        if isinstance(outcome, Failure):
            self._put_off(i, instance, f"could not begin: {outcome.reason}")
            return False
        self._roll.note(i, instance, ready=True, why="waits for the next round")
        return True

    def _ask(self, i: int, instance: str, action: str, payload: Payload) -> Outcome:
        return self._asker.ask(Phase(action, (i,), payload, 0.0), {i: instance})[i]

    def _put_off(self, i: int, instance: str, why: str) -> None:
        """Say once why a process is not in yet; it is asked again."""
        if self._roll.note(i, instance, why=why):
            self._say(f"site {self._names[i]} {why}")
