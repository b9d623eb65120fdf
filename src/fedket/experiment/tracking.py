"""A run and its tracker: what it is told, and where it finds the run again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedket.experiment.aggregation import first_context
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.rows import flatten
from fedket.experiment.section import build
from fedket.record_files import read_json, write_json
from fedket.track.sink import Follower, TrackedAs, TrackedRun, begin

TRACK = "track.json"


def follow(config: ExperimentConfig, directory: Path, done: int) -> Follower:
    """Begin to track a run that has done some rounds; without `[track]` nothing is told.

    Raises:
        ConfigError: The tracker cannot begin.
    """
    section = config.track
    if section is None:
        return Follower(None)
    before, path = "", directory / TRACK
    if done and path.exists() and (noted := read_json(path, TrackedAs)).kind == section.kind:
        before = noted.tracked_as
    dumped = flatten(config.model_dump(mode="json", exclude_none=True))
    settings = {k: v if isinstance(v, int | float | str) else str(v) for k, v in dumped.items()}
    make: Any = build(section, first_context(config), Callable)  # type: ignore[arg-type]
    tracker = begin(make, TrackedRun(config.name, directory, settings, done, before))
    if tracker.tracked_as:
        write_json(path, TrackedAs(kind=section.kind, tracked_as=tracker.tracked_as))
    return Follower(tracker)
