"""Reports: one self-contained HTML file from one or several run directories.

The room reads run directories (`docs/run-directory.md`) and nothing else, so a report can be
written while a run goes on, after it was killed, or on another machine. The same directory
always gives the same bytes. matplotlib is imported only when a report is written.
"""

from collections.abc import Sequence
from pathlib import Path

from fedket.errors import CheckpointError, FedketError
from fedket.files import write_atomic
from fedket.report.run_record import RunRecord, read_run

__all__ = ["RunRecord", "read_run", "write_report"]


def write_report(directories: Sequence[Path], output: Path | None = None) -> Path:
    """Write the report of one run, or the comparison of several.

    Args:
        directories: Run directories; the order is kept.
        output: File to write. By default `report.html` inside the run directory for one run and
            `comparison.html` in the current directory for several.

    Returns:
        The file that was written.
    """
    from fedket.report.compare import comparison_page
    from fedket.report.run_page import run_page

    if not directories:
        raise CheckpointError("no run directory was given; name at least one")
    records = [read_run(directory) for directory in directories]
    if output is None:
        output = directories[0] / "report.html" if len(records) == 1 else Path("comparison.html")
    page = run_page(records[0]) if len(records) == 1 else comparison_page(records)
    try:
        write_atomic(output, page.encode("utf-8", "replace"))
    except OSError as error:
        raise FedketError(
            f"cannot write `{output}`: {error.strerror}; choose another output file"
        ) from error
    return output
