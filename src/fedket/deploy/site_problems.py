"""What is wrong at a site, for its own operator: at its terminal, and in `problem.txt`.

Everything that a site refuses or fails comes here, and so does why the server leaves it out. Each
problem is said once, and once more when it is solved; the file holds those there are now.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from fedket.deploy.keyless import heard as faults_in
from fedket.deploy.messages import heard
from fedket.deploy.terminal import at_terminal
from fedket.files import write_atomic
from fedket.secure.phases import Failure, Outcome

DOING = "doing"
"""Field of a heartbeat's answer: what the site waits for, or nothing."""

NOBODY = -2
"""A party that there is not: whose own faults these are is no question here."""

LEFT_OUT = "left_out"
"""Field of a heartbeat's request: why the server leaves the site out, or nothing."""


class SiteProblems:
    """The problems of one site.

    Args:
        folder: -> the folder that holds `site.toml`; asked when something is to be written.
        say: Where news go.
    """

    def __init__(
        self, folder: Callable[[], Path], say: Callable[[str], None] = at_terminal
    ) -> None:
        self._folder, self._say, self._lock = folder, say, Lock()
        self._now: dict[str, str] = {}
        self._since: dict[str, str] = {}
        self._begun = False

    def answered(self, what: str, outcome: Outcome) -> None:
        """Note what the site answered.

        Args:
            what: To what; a problem with it is solved by the next answer that is none.
            outcome: The answer.
        """
        if isinstance(outcome, Failure):
            self.note(what, outcome.reason)
            return
        own = [fault.why for fault in faults_in(NOBODY, outcome.payload) if not fault.theirs]
        self.note(what, "; ".join(dict.fromkeys(own)))

    def hear(self, heartbeat: object) -> None:
        """Note what the server says of this site, unless the site has said so itself."""
        said = heartbeat.get(LEFT_OUT, "") if isinstance(heartbeat, dict) else ""
        why = heard(said) if isinstance(said, str) else ""
        own = [heard(text) for about, text in list(self._now.items()) if about != LEFT_OUT]
        if any(text in why for text in own):
            why = ""
        if why or LEFT_OUT in self._now:
            self.note(LEFT_OUT, why and f"the server leaves this site out: {why}")

    def note(self, about: str, problem: str) -> None:
        """Note a problem, or with an empty one that there is none."""
        with self._lock:
            old = self._now.get(about, "")
            if old == problem and self._begun:
                return
            known = {_kind(text) for text in self._now.values()}
            if problem:
                self._now[about] = problem
                self._since[about] = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
            else:
                self._now.pop(about, None)
            if problem and _kind(problem) not in known:
                self._say(f"problem: {problem}")
            if old and _kind(old) not in {_kind(text) for text in self._now.values()}:
                self._say(f"solved: {old}")
            self._begun = True
            with suppress(OSError):  # a full disk may be the problem
                self._write()

    def _write(self) -> None:
        from fedket.deploy.files import PROBLEM  # a heartbeat is answered before much is imported

        path = self._folder() / PROBLEM
        lines = [f"{self._since[about]}: {problem}\n" for about, problem in self._now.items()]
        if lines:
            write_atomic(path, "".join(dict.fromkeys(lines)))
        else:
            path.unlink(missing_ok=True)


def _kind(problem: str) -> str:
    """A problem without the numbers that change with every round."""
    return re.sub(r"\d+", "#", problem)
