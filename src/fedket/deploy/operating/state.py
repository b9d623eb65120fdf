"""`state.json`: how a federation is doing, written by the process that knows, read by all others.

The server's job writes it beside `federation.toml`, a site's beside `site.toml`, once a second.
Status, the page and the
metrics are made of it, here or, through the engine, on another machine. Whoever reads it may run
another version: fields that it does not know are passed over.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fedket.deploy.kit import FEDERATION, PROBLEM
from fedket.deploy.operating.news import NEWS
from fedket.errors import ConfigError

STATE, STOPPED = "state.json", "stopped.json"
"""In a party's own files: how it is doing, and which job was stopped by whom."""

FRESH_S = 10.0
"""A state that is older was left by a process that is gone."""


IN_WORDS = {
    "handshake": "handshakes",
    "setup": "sites to compile",
    "links": "links to be confirmed",
    "fill": "key",
    "reserve": "key to be set aside",
    "ready": "training",
    "share": "shares of masks",
    "confirm": "sites to compare what they were shown",
    "upload": "masked updates",
    "open": "the sum to be opened",
}
"""Action -> what the server waits for meanwhile; others stand for themselves."""


class Said(BaseModel):
    """Base of what a state holds."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class SiteState(Said):
    """A site as the server sees it.

    Attributes:
        name: Of the site.
        inside: Whether it takes part.
        why: Why it does not.
        since: Since when it does, or does not (ISO 8601).
        seconds: What it took of the last round, answers added up; None before it took part.
        asked: What the server waits for from it now, or nothing.
    """

    name: str
    inside: bool
    why: str = ""
    since: str
    seconds: float | None = None
    asked: str = ""


class LinkState(Said):
    """Key that this party has left on a link.

    Attributes:
        peer: The other end.
        num_bytes: Ready to be used.
        rounds: For how many more rounds like the last one.
    """

    peer: str
    num_bytes: int
    rounds: float


class CertificateState(Said):
    """A certificate of this party.

    Attributes:
        file: Below the kit.
        ends: When it ends (ISO 8601).
    """

    file: str
    ends: str


class FederationState(Said):
    """How a federation is doing.

    Attributes:
        written: When (ISO 8601), as all times here.
        since: When this session began.
        experiment: Its name.
        fingerprint: Of the experiment.
        status: `failed` and `stopped` runs can be resumed.
        rounds: Finished.
        of: How many there will be.
        recent: Of the last rounds, what their records say: `round`, `train_loss`, `seconds`, ….
        phase: What the server does, in words.
        phase_since: Since when.
        problem: What ended the run.
        problems: How often a site refused or failed, in this session.
        sites: In the federation's order; none where a site says it.
        links: This party's.
        certificates: Likewise.
    """

    written: str
    since: str
    experiment: str
    fingerprint: str
    status: Literal["starting", "running", "finished", "failed", "stopped"]
    rounds: int
    of: int
    recent: tuple[Mapping[str, Any], ...] = ()
    phase: str = ""
    phase_since: str = ""
    problem: str = ""
    problems: int = 0
    sites: tuple[SiteState, ...] = ()
    links: tuple[LinkState, ...] = ()
    certificates: tuple[CertificateState, ...] = ()

    @property
    def last(self) -> Mapping[str, Any]:
        """The last round, or nothing."""
        return self.recent[-1] if self.recent else {}


class Look(Said):
    """What an operator sees of a federation.

    Attributes:
        state: None before its first run.
        news: The last lines of `news.txt`.
        problem: What `problem.txt` says, or the state: at a server what ended the run, at a site
            what is wrong now, a line each.
        stopped: Of the job that was stopped last: `job`, `by`, `when`.
        fresh: Whether the state was written within the last seconds.
    """

    state: FederationState | None = None
    news: tuple[str, ...] = ()
    problem: str = ""
    stopped: Mapping[str, str] = {}
    fresh: bool = False

    @property
    def status(self) -> str:
        """The state's status, or what became of a run whose process is gone."""
        if self.state is None or self.state.status not in ("starting", "running"):
            return self.state.status if self.state else "no run"
        if self.stopped.get("when", "") >= self.state.since:
            return f"stopped by {self.stopped['by']}"
        return self.state.status if self.fresh else f"interrupted, last seen {self.state.written}"


def read_look(folder: Path, lines: int = 200) -> Look:
    """Return what the files of a party say.

    Args:
        folder: Its own files.
        lines: Of its news.
    """
    state, problem = _json(folder / STATE), _text(folder / PROBLEM).strip()
    said: dict[str, Any] = {"state": state, "stopped": _json(folder / STOPPED) or {}}
    said["news"] = tuple(_text(folder / NEWS).splitlines()[-lines:])
    said["problem"] = problem or (state or {}).get("problem", "")
    if state:
        since = datetime.now(UTC) - datetime.fromisoformat(state["written"])
        said["fresh"] = since.total_seconds() < FRESH_S
        if problem and (folder / FEDERATION).exists():  # a server's is of its last job
            state["status"] = "failed"
    return parse_look(said, f"{folder}")


def parse_look(said: Mapping[str, Any], where: str) -> Look:
    """Return what another machine says of a federation.

    Raises:
        ConfigError: It is not a look.
    """
    try:
        return Look.model_validate(said)
    except ValidationError as error:
        raise ConfigError(
            f"{where} says how its federation is doing in a form that this version of fedket does "
            f"not read ({error.errors()[0]['msg']}); use the same version on both machines"
        ) from None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # not there yet, or of a disk that was full
        return None
