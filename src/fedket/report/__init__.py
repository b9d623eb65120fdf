"""Reports: one self-contained HTML file from one or several run directories.

The room reads run directories (`docs/run-directory.md`) and nothing else, so a report can be
written while a run goes on, after it was killed, or on another machine. The same directory
always gives the same bytes. matplotlib is imported only when a report is written.
"""

from collections.abc import Sequence
from pathlib import Path

from fedket.errors import CheckpointError, ConfigError, FedketError
from fedket.files import write_atomic
from fedket.report.run_record import RunRecord, read_run
from fedket.report.settings import View
from fedket.report.sweep_runs import is_sweep, read_sweep

__all__ = ["RunRecord", "View", "read_run", "write_report"]


def write_report(
    directories: Sequence[Path],
    output: Path | None = None,
    view: View | None = None,
    latex: Path | None = None,
) -> Path:
    """Write the report of one run, or the comparison of several.

    Args:
        directories: Run directories, and sweeps for all runs in them; the order is kept.
        output: File to write. By default `report.html` inside the directory of one run or sweep,
            and `comparison.html` in the current directory for several.
        view: How runs are compared; a single sweep's keys make lines and panels without one.
        latex: File to write the table of a comparison to.

    Returns:
        The HTML file that was written.

    Raises:
        CheckpointError: A directory is no run, or damaged.
        ConfigError: `view` asks for what no run has, or one run is asked to be compared.
    """
    from fedket.report.compare import comparison_page
    from fedket.report.run_page import run_page

    if not directories:
        raise CheckpointError("no run directory was given; name at least one")
    view = view or View()
    records: list[RunRecord] = []
    for directory in directories:
        if is_sweep(directory):
            runs, grid = read_sweep(directory)
            records += runs
            if len(directories) == 1:
                view = view.of_grid(grid, runs)
        else:
            records.append(read_run(directory))
    alone = len(directories) == 1
    if output is None:
        output = directories[0] / "report.html" if alone else Path("comparison.html")
    if alone and not is_sweep(directories[0]):
        if view.by or view.panel or view.metric or latex:
            raise ConfigError("--by, --panel, --metric and --latex compare runs; name several")
        page = run_page(records[0], view.downloads)
    else:
        page = comparison_page(records, view)
    _write(output, page)
    if latex is not None:
        from fedket.report.compare import comparison_table

        _write(latex, comparison_table(records, view))
    return output


def _write(path: Path, text: str) -> None:
    try:
        write_atomic(path, text.encode("utf-8", "replace"))
    except OSError as error:
        raise FedketError(
            f"cannot write `{path}`: {error.strerror}; choose another output file"
        ) from error
