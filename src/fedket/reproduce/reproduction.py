"""From the runs of a paper to its table on disk: `table.md` and `report.html` beside the runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fedket.files import write_atomic
from fedket.report import read_run
from fedket.reproduce.page import RunRow, reproduction_page
from fedket.reproduce.result import RowResult, condense
from fedket.reproduce.rows import Profile, Row
from fedket.reproduce.runs import FINISHED, SeedRun, paper_directory
from fedket.reproduce.table import document

TABLE, PAGE = "table.md", "report.html"


class Reproduction(NamedTuple):
    """A paper's table and where it was written."""

    results: list[RowResult]
    table: Path
    page: Path


def write_reproduction(
    rows: Sequence[Row], profile: Profile, runs: Sequence[SeedRun], parent: Path
) -> Reproduction:
    """Condense runs into the table and write it.

    Args:
        rows: The rows of the table, at least one, all of one paper.
        profile: In which they were run.
        runs: All their runs, in any order; rows without any count as not run.
        parent: Top of the folders of runs.

    Raises:
        CheckpointError: If a finished run is damaged.
        OSError: If the files cannot be written.
    """
    shown = [_run_row(row, profile, runs) for row in rows]
    results = [row.result for row in shown]
    folder = paper_directory(parent, rows[0].paper, profile)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / TABLE, document(rows[0].paper, results))
    write_atomic(folder / PAGE, reproduction_page(rows[0].paper, shown))
    return Reproduction(results, folder / TABLE, folder / PAGE)


def _run_row(row: Row, profile: Profile, runs: Sequence[SeedRun]) -> RunRow:
    own = [run for run in runs if run.row.name == row.name]
    records = [read_run(run.directory) for run in own if run.status in FINISHED]
    return RunRow(condense(row, profile, own, records), records)
