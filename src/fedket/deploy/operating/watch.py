"""The server's own account of its run, beside the run: `state.json`.

It listens at the transport and at the end of rounds, changes neither, and writes from a thread of
its own, so that no round waits for a disk.
"""

import json
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock
from typing import Any

from fedket.deploy.broadcast import Call
from fedket.deploy.operating.account import KeyLeft, StateWriter, links_of
from fedket.deploy.operating.certificates import CertificateWatch
from fedket.deploy.operating.news import now
from fedket.deploy.operating.state import (
    IN_WORDS,
    FederationState,
    LinkState,
    SiteState,
)
from fedket.errors import FedketError
from fedket.record import RoundRecord
from fedket.record_files import read_rounds
from fedket.secure.phases import Outcome, Payload

KEPT = {"round", "train_loss", "test_accuracy", "seconds", "lost", "metrics", "dropped", "epsilon"}
"""What a state says of a round."""

RECENT = 100
"""Rounds that it says so much of."""

ENTERING = frozenset({"handshake", "setup"})
"""Not part of a round's time."""


class Watch:
    """Keeps the account of a run.

    Args:
        folder: The server's own files.
        names: Names of the sites, in order.
        experiment: Name of the experiment.
        fingerprint: Of the experiment.
        of: Rounds that there will be.
    """

    def __init__(
        self, folder: Path, names: tuple[str, ...], experiment: str, fingerprint: str, of: int
    ) -> None:
        self._folder, self._names, self._lock, self._over = folder, names, Lock(), False
        self._about = {"since": now(), "experiment": experiment, "fingerprint": fingerprint}
        self._status, self._of, self._rounds = "starting", of, 0
        self._recent: deque[dict[str, Any]] = deque(maxlen=RECENT)
        self._asked: dict[int, tuple[str, float]] = {}
        self._taken: dict[int, float] = defaultdict(float)
        self._seconds: dict[int, float] = {}
        self._inside: dict[int, tuple[bool, str]] = {}
        self._phase = ("", now())
        self._certificates = CertificateWatch(folder.parents[1])
        self._absent: Callable[[], Mapping[int, str]] = dict
        self._left: KeyLeft = dict
        self._links: tuple[LinkState, ...] = ()

    def call(self, call: Call) -> Call:
        """Return a transport that is listened to."""

        def heard(
            site: int, action: str, payload: Payload, seconds: float, abandoned: Event
        ) -> Outcome:
            if action == "heartbeat":
                return call(site, action, payload, seconds, abandoned)
            begun = time.monotonic()
            with self._lock:
                self._asked[site] = action, begun
            try:
                return call(site, action, payload, seconds, abandoned)
            finally:
                with self._lock:
                    if action not in ENTERING:
                        self._taken[site] += time.monotonic() - begun
                    if self._asked.get(site) == (action, begun):
                        del self._asked[site]

        return heard

    def round(self, record: RoundRecord) -> None:
        """Note the end of a round."""
        with self._lock:
            self._status, self._rounds = "running", record.round
            self._recent.append(_kept(record))
            self._seconds = {i: round(taken, 4) for i, taken in self._taken.items()}
            self._taken.clear()

    @contextmanager
    def following(
        self,
        absent: Callable[[], Mapping[int, str]],
        left: KeyLeft,
        run: Path,
    ) -> Iterator[None]:
        """Write the state until the block ends, and how it ended.

        Args:
            absent: Returns who is away, and why.
            left: Returns the bytes and rounds of key left by peer.
            run: The run directory, with the rounds of sessions before.
        """
        self._absent, self._left = absent, left
        for record in read_rounds(run):
            self._rounds = record.round
            self._recent.append(_kept(record))
        writer = StateWriter(self._folder, self.state)
        end, problem = "failed", ""
        try:
            yield
            end = "finished"
        except FedketError as error:
            problem = str(error)
            raise
        except BaseException as error:
            problem = type(error).__name__
            raise
        finally:
            done = self._rounds >= self._of
            self._over, self._status = True, end if done or end == "failed" else "stopped"
            writer.close(lambda: self.state(problem))

    def state(self, problem: str = "") -> FederationState:
        """Return the state as it is now."""
        absent = self._absent()
        with suppress(FedketError):  # of a store that is shut
            self._links = links_of(self._left(), self._names)
        with self._lock:
            sites = tuple(self._site(i, absent.get(i, "")) for i in range(len(self._names)))
            if (doing := self._doing()) != self._phase[0]:
                self._phase = doing, now()
            return FederationState.model_validate(
                {
                    **self._about,
                    "written": now(),
                    "status": self._status,
                    "rounds": self._rounds,
                    "of": self._of,
                    "recent": tuple(self._recent),
                    "phase": self._phase[0],
                    "phase_since": self._phase[1],
                    "problem": problem,
                    "sites": sites,
                    "links": self._links,
                    "certificates": self._certificates(),
                }
            )

    def _site(self, i: int, why: str) -> SiteState:
        inside = not why
        was, since = self._inside.get(i, (not inside, ""))
        if was != inside:
            since = now()
        self._inside[i] = inside, since
        asked = self._asked.get(i, ("", 0.0))[0]
        seconds = self._seconds.get(i)
        return SiteState(
            name=self._names[i], inside=inside, why=why, since=since, seconds=seconds, asked=asked
        )

    def _doing(self) -> str:
        """What the server waits for, and from whom."""
        if self._over:
            return ""
        by_action: dict[str, list[str]] = defaultdict(list)
        for i, (action, _) in sorted(self._asked.items()):
            if self._status == "starting" or self._inside[i][0]:
                by_action[action].append(self._names[i])
        if by_action:
            waits = (
                f"{IN_WORDS.get(action, action)} ({', '.join(names)})"
                for action, names in by_action.items()
            )
            return f"waits for {'; '.join(waits)}"
        return "waits for sites" if self._status == "starting" else "between two phases"


def _kept(record: RoundRecord) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(record.model_dump_json(include=KEPT))
    return said
