"""A party's account of itself, written while it works: `state.json` from a thread of its own."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

from fedket.deploy.operating.certificates import CertificateWatch
from fedket.deploy.operating.news import now
from fedket.deploy.operating.state import STATE, FederationState, LinkState
from fedket.errors import FedketError
from fedket.secure.phases import Failure, Outcome, Payload
from fedket.types import SERVER

EVERY_S = 1.0

KeyLeft = Callable[[], Mapping[int, tuple[int, float]]]
"""-> peer -> bytes of key that are ready, and for how many rounds."""


class StateWriter:
    """Writes a state once a second until it is closed; no round waits for a disk.

    Args:
        folder: The party's own files.
        state: Returns the state as it is now.
    """

    def __init__(self, folder: Path, state: Callable[[], FederationState]) -> None:
        self._folder, self._state, self._over = folder, state, Event()
        self._thread = Thread(target=self._write_on, daemon=True)
        self._thread.start()

    def close(self, last: Callable[[], FederationState] | None = None) -> None:
        """Write the last state, as this says it, and no other."""
        self._over.set()
        self._thread.join()
        self._write((last or self._state)())

    def _write_on(self) -> None:
        while True:
            with suppress(OSError):  # a full disk ends no run here
                self._write(self._state())
            if self._over.wait(EVERY_S):
                return

    def _write(self, state: FederationState) -> None:
        """Replace the file at once; without `fsync`, as nothing is lost with it."""
        new = self._folder / f".{STATE}.new"
        new.write_text(state.model_dump_json(indent=1) + "\n", encoding="utf-8")
        new.replace(self._folder / STATE)


class SiteAccount:
    """What a site's own operator sees: the round, problems, key left, certificates.

    Args:
        folder: The site's own files.
        names: Names of the sites, in order.
        experiment: Name of the experiment.
        fingerprint: Of the experiment.
        of: Rounds that there will be.
        left: Its key.
    """

    def __init__(
        self,
        folder: Path,
        names: tuple[str, ...],
        experiment: str,
        fingerprint: str,
        of: int,
        left: KeyLeft,
    ) -> None:
        self._about = {"since": now(), "experiment": experiment, "fingerprint": fingerprint}
        self._names, self._of, self._left = names, of, left
        self._certificates = CertificateWatch(folder.parents[1])
        self._round, self._problems, self._taken = 0, 0, 0.0
        self._phase = "", now()
        self._links: tuple[LinkState, ...] = ()
        self._writer = StateWriter(folder, self.state)

    def answered(self, action: str, payload: object, outcome: Outcome, begun: float) -> None:
        """Note an answer to the server, and when the request came (`time.monotonic`)."""
        if isinstance(outcome, Failure):
            self._problems += 1
            return
        said: Payload = payload if isinstance(payload, dict) else {}
        round_num = said.get("round_num")
        if isinstance(round_num, int) and round_num != self._round:
            self._round, self._taken = round_num, 0.0
        self._taken += time.monotonic() - begun
        self._phase = f"has answered `{action}`", now()

    def state(self) -> FederationState:
        """Return the state as it is now."""
        with suppress(FedketError):  # of a store that is shut
            self._links = links_of(self._left(), self._names)
        last: dict[str, Any] = {"round": self._round, "seconds": round(self._taken, 4)}
        return FederationState.model_validate(
            {
                **self._about,
                "written": now(),
                "status": "running" if self._round else "starting",
                "rounds": max(0, self._round - 1),
                "of": self._of,
                "recent": (last,) if self._round else (),
                "phase": self._phase[0],
                "phase_since": self._phase[1],
                "problems": self._problems,
                "links": self._links,
                "certificates": self._certificates(),
            }
        )

    def close(self) -> None:
        """Write the last state."""
        with suppress(OSError):
            self._writer.close()


def links_of(
    left: Mapping[int, tuple[int, float]], names: tuple[str, ...]
) -> tuple[LinkState, ...]:
    """Return the key left on a party's links."""
    titles = dict(enumerate(names)) | {SERVER: "server"}
    return tuple(
        LinkState(peer=titles[peer], num_bytes=num_bytes, rounds=rounds)
        for peer, (num_bytes, rounds) in sorted(left.items())
        if peer in titles
    )
