"""From the runs of a paper to its table on disk: `table.md`, and `report.html` with curves."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fedket.files import write_atomic
from fedket.report import RunRecord, html, read_run
from fedket.report.compare_figures import BAND, curve_of, height_for, paint_metric
from fedket.report.drawing import SERIES, draw
from fedket.report.wording import plural, shorten
from fedket.reproduce.result import FEWEST_SEEDS, RowResult, condense
from fedket.reproduce.rows import Profile, Row
from fedket.reproduce.runs import SeedRun, paper_directory
from fedket.reproduce.table import (
    COLUMNS,
    assumptions,
    cells,
    document,
    heading,
    problems,
    sources,
    warning,
)
from fedket.sweeps.complete import FINISHED

TABLE, PAGE = "table.md", "report.html"

ROWS_PER_FIGURE = 8
"""As many as there are colours."""
LABEL_LETTERS = 16


class RunRow(NamedTuple):
    """A row's result with the finished runs it was made of."""

    result: RowResult
    records: list[RunRecord]


def reproduction_page(paper: str, rows: Sequence[RunRow]) -> str:
    """The whole document.

    Args:
        paper: Name of the paper.
        rows: At least one; all of one profile.
    """
    results = [row.result for row in rows]
    groups = figure_groups(rows)
    title = heading(paper, results[0].profile)
    # The colour of every row's line.
    swatches = [f"var(--series-{n % len(SERIES)})" for group in groups for n in range(len(group))]
    table = html.table(COLUMNS, map(cells, results), swatches)
    about = "\n".join(text for text in (warning(results[0].profile), sources(results)) if text)
    unstated, missing = assumptions(results), problems(results)
    parts = [
        html.header("fedket reproduction", title, about),
        html.section("Results", html.card(table)),
        html.section("Not run", html.notes(missing)) if missing else "",
        _figures(groups),
        html.section(
            "Values that the paper does not state",
            html.card(html.table(("Value", "Rows"), unstated)),
        )
        if unstated
        else "",
        html.section("How to read these numbers", html.notes(_reading(results[0].profile))),
        html.footer("Written by fedket from the run directories below this file."),
    ]
    return html.page(title, parts)


def figure_groups(rows: Sequence[RunRow]) -> list[list[RunRow]]:
    """Neighbouring rows whose names differ only after the last hyphen share a figure."""
    groups: list[list[RunRow]] = []
    for row in rows:
        last = groups[-1] if groups else []
        if last and _theme(last[0]) == _theme(row) and len(last) < ROWS_PER_FIGURE:
            last.append(row)
        else:
            groups.append([row])
    return groups


def _theme(row: RunRow) -> str:
    return row.result.row.rpartition("-")[0] or row.result.row


def _figures(groups: Sequence[Sequence[RunRow]]) -> str:
    drawn = [
        _figure(f"{what}-{number}", group, f"test_{what}")
        for number, group in enumerate(groups)
        for what in ("accuracy", "loss")
    ]
    return html.section("Learning curves", html.figures(drawn)) if any(drawn) else ""


def _figure(name: str, group: Sequence[RunRow], field: str) -> str:
    """One drawing; empty if no row has points."""
    curves = [
        curve_of(shorten(row.result.title, LABEL_LETTERS), row.records, field) for row in group
    ]
    if not any(len(c.x) for c in curves):
        return ""
    title = f"{_theme(group[0])}: {field.replace('_', ' ')}"
    caption = f"Mean over seeds, {BAND}."
    painted = partial(paint_metric, curves=curves, metric=field, caption=caption)
    return draw(name, title, painted, height_for(len(curves)))


def _reading(profile: str) -> list[tuple[str, str]]:
    return [
        ("Profile", warning(profile) or "full: every round of the paper's experiment."),
        (
            "Ours",
            "Mean and sample standard deviation over seeds, after the last round. The best round "
            f"is not shown: it would be chosen on the test set. Fewer than "
            f"{plural(FEWEST_SEEDS, 'seed')} say little.",
        ),
        ("Difference", "Ours minus the paper's; accuracies in percentage points."),
        (
            "Key and bytes",
            "Totals of one run over all its rounds and clients, counted from the messages' "
            "contents. Key bits are what a real key supply would have to deliver.",
        ),
        (
            "Configuration",
            "SHA-256 of everything that decides the numbers but the seed and the number of "
            "rounds; the first digits.",
        ),
    ]


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
