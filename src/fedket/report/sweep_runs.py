"""The runs of a sweep's directory, as its `sweep.json` lists them."""

import json
from pathlib import Path

from fedket.errors import CheckpointError
from fedket.record_files import FACTS, damaged, read
from fedket.report.run_record import RunRecord, read_run

STATE = "sweep.json"


def is_sweep(directory: Path) -> bool:
    """Whether a directory is that of a sweep."""
    return (directory / STATE).is_file()


def read_sweep(directory: Path) -> tuple[list[RunRecord], tuple[str, ...]]:
    """The runs that have begun, called by their paths below the sweep, and the grid's keys.

    Raises:
        CheckpointError: The sweep or a run is damaged, or no run has begun.
    """
    path = directory / STATE
    try:
        state = json.loads(read(path))
        grid = tuple(map(str, state["grid"]))
        places = [str(run["directory"]) for run in state["runs"]]
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, " ".join(str(error).split()) or type(error).__name__) from None
    begun = [place for place in places if (directory / place / FACTS).is_file()]
    if not begun:
        raise CheckpointError(f"no run of the sweep `{directory}` has begun; run it first")
    runs = [read_run(directory / place)._replace(directory=place) for place in begun]
    return runs, grid
