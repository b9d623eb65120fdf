"""What a tracker is told of a run, and what it does with it.

A tracker never changes a run: it decides no number, and one that fails later is given up.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fedket.errors import ConfigError, FedketError, UserCodeError
from fedket.record import Content, RoundRecord
from fedket.section import Context, Section

Setting = str | int | float | bool
HIDDEN = {"round", "dropped", "staleness", "key_levels", "cohort", "phases"}
"""Fields of a record that are no course of numbers over rounds."""


class TrackedRun(NamedTuple):
    """A run that is about to begin, or to go on.

    Attributes:
        name: Of its experiment.
        directory: Where it lies.
        settings: Its configuration: dotted key -> value.
        done: Rounds that are done already.
        tracked_as: What `Tracker.tracked_as` said when it began; empty for a new run.
    """

    name: str
    directory: Path
    settings: Mapping[str, Setting]
    done: int
    tracked_as: str


class Tracker(NamedTuple):
    """Takes down one run.

    Attributes:
        log: (round, numbers by name) is called after each round.
        finish: Called at the end, with the run's status.
        tracked_as: By what the run is found there, kept for when it goes on.
    """

    log: Callable[[int, Mapping[str, float]], None]
    finish: Callable[[str], None]
    tracked_as: str = ""


class TrackedAs(Content):
    """`track.json` of a run directory: where the run is found again when it goes on."""

    kind: str
    tracked_as: str


class TrackConfig(Section):
    """Base of the sections of `[track]`."""

    def build(self, context: Context) -> Callable[[TrackedRun], Tracker]:
        """What makes the tracker of a run."""
        raise UserCodeError(f"{type(self).__name__} has no `build(self, context)`; define it")


def numbers_of(record: RoundRecord) -> dict[str, float]:
    """The numbers of a round by name, those of a table as `TABLE/NAME`; of clients their mean."""
    found: dict[str, float] = {}
    for name, value in record.model_dump(exclude=HIDDEN).items():
        found |= _numbers(name, value)
    of_clients = [value for value in record.client_accuracy or () if value is not None]
    if of_clients:
        found["client_accuracy"] = sum(of_clients) / len(of_clients)
    return found


def _numbers(name: str, value: Any) -> dict[str, float]:
    if isinstance(value, bool):
        return {}
    if isinstance(value, int | float):
        return {name: float(value)}
    tables = value.items() if isinstance(value, Mapping) else ()
    return {k: v for key, inner in tables for k, v in _numbers(f"{name}/{key}", inner).items()}


class Follower:
    """A run's tracker, or none; one that fails is given up, and the run goes on.

    Args:
        tracker: The tracker; None for none.
    """

    def __init__(self, tracker: Tracker | None) -> None:
        self._tracker = tracker

    def on_round(self, record: RoundRecord) -> None:
        """Tell of a round."""
        if self._tracker is not None:
            self._attempt(self._tracker.log, record.round, numbers_of(record))

    def finish(self, status: str) -> None:
        """Say how the run ended."""
        if self._tracker is not None:
            self._attempt(self._tracker.finish, status)

    def _attempt(self, call: Callable[..., None], *arguments: Any) -> None:
        try:
            call(*arguments)
        except Exception as error:
            self._tracker = None
            logging.getLogger("fedket").warning(
                "tracking ends, the run goes on: %s", in_a_line(error)
            )


def begin(make: Callable[[TrackedRun], Tracker], run: TrackedRun) -> Tracker:
    """Begin to track a run; `ConfigError` says why that cannot be."""
    try:
        return make(run)
    except FedketError:
        raise
    except Exception as error:
        raise ConfigError(f"[track] cannot begin: {in_a_line(error)}") from error


def in_a_line(error: Exception) -> str:
    """What an error says, shortened."""
    return " ".join(str(error).split())[:300] or type(error).__name__
