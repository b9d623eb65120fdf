"""A sweep's results as tidy tables: a line per run, and a line per round."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fedket.errors import CheckpointError, ConfigError
from fedket.files import write_atomic
from fedket.record import Summary
from fedket.record_files import SUMMARY, read_json, read_rounds
from fedket.sweeps.complete import FINISHED, Ended
from fedket.sweeps.plan import SweepRun

OF_A_RUN = (
    "rounds",
    "lost_rounds",
    "test_accuracy",
    "best_test_accuracy",
    "test_loss",
    "upload_bytes",
    "download_bytes",
    "key_bits",
    "simulated_s",
    "seconds",
)
OF_A_ROUND = (
    "round",
    "train_loss",
    "test_loss",
    "test_accuracy",
    "upload_bytes",
    "download_bytes",
    "key_bits",
    "simulated_s",
    "seconds",
)
"""What is taken of `Summary` and `RoundRecord`; docs/run-directory.md gives units."""

State = Literal["waiting", "finished", "interrupted", "failed"]
Row = dict[str, Any]


@dataclass(frozen=True)
class SweepTable:
    """What a sweep has found, for `pandas.DataFrame(table.rows)` or `polars.DataFrame(table.rows)`.

    Attributes:
        directory: The sweep.
        rows: One per run: `run` (its directory below the sweep's), the grid's keys, `seed`,
            `status`, `problem`, and the last numbers of its `summary.json`; None where unknown.
    """

    directory: Path
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, list[Any]]:
        """Column -> values, of the same rows."""
        return _columns(self.rows)

    def rounds(self) -> tuple[Row, ...]:
        """One row per round of each run: `run`, the grid's keys, `seed`, and the round's record."""
        return tuple(_rounds(self.directory, self.rows))

    def means(self, metric: str = "") -> tuple[Row, ...]:
        """One row per setting, see `by_setting`: mean over seeds, and how it differs."""
        from fedket.sweeps.summary import by_setting

        return by_setting(self, metric)

    @property
    def failures(self) -> dict[str, str]:
        """Run -> why it failed."""
        return {row["run"]: row["problem"] for row in self.rows if row["status"] == "failed"}

    @property
    def interrupted(self) -> bool:
        """Whether some runs were not finished because somebody asked to stop."""
        return any(row["status"] in ("interrupted", "waiting") for row in self.rows)


def make_table(directory: Path, runs: Sequence[SweepRun], ends: Mapping[int, Ended]) -> SweepTable:
    """The table of a sweep; a run without an end waits for its turn."""
    rows = []
    for place, run in enumerate(runs):
        end = ends.get(place)
        name = run.directory.relative_to(directory).as_posix()
        numbers: Mapping[str, Any] = dict.fromkeys(OF_A_RUN)
        if end is not None and end.status in (*FINISHED, "interrupted"):
            with suppress(CheckpointError):  # interrupted before it began
                numbers = read_json(run.directory / SUMMARY, Summary).model_dump(
                    include=set(OF_A_RUN)
                )
        rows.append(
            {
                "run": name,
                **run.settings,
                "seed": run.seed,
                "status": status_of(end),
                "problem": "" if end is None else end.problem,
                **{key: numbers[key] for key in OF_A_RUN},
            }
        )
    return SweepTable(directory, tuple(rows))


def write_tables(
    directory: Path, tables: Mapping[str, Sequence[Row]], *, parquet: bool = False
) -> list[Path]:
    """Write tables by name as CSV, and as Parquet, too, if asked for; empty ones as empty files."""
    written = []
    for name, rows in tables.items():
        path = directory / f"{name}.csv"
        write_atomic(path, _csv(rows))
        written.append(path)
        if parquet:
            written.append(_write_parquet(path.with_suffix(".parquet"), rows))
    return written


def settings_in(row: Row) -> Row:
    """The grid's keys of a row of a table."""
    others = {"run", "seed", "status", "problem", *OF_A_RUN}
    return {key: value for key, value in row.items() if key not in others}


def check_parquet() -> None:
    """Raise `ConfigError` if Parquet files cannot be written."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise ConfigError(
            "Parquet files need pyarrow: pip install pyarrow; runs.csv and rounds.csv do not"
        ) from None


def status_of(end: Ended | None) -> State:
    """The state of a run in tables, whenever it was finished; one without an end waits."""
    if end is None:
        return "waiting"
    return "finished" if end.status == "kept" else end.status


def _rounds(directory: Path, rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        about = {"run": row["run"], **settings_in(row), "seed": row["seed"]}
        if row["status"] not in ("finished", "interrupted"):
            continue
        for record in read_rounds(directory / row["run"]):
            yield about | {key: getattr(record, key) for key in OF_A_ROUND}


def _columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {key: [row[key] for row in rows] for key in (rows[0] if rows else ())}


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Lists and tables as JSON; numbers and text as they are."""
    return json.dumps(value) if isinstance(value, tuple | list | dict | bool) else value


def _write_parquet(path: Path, rows: Sequence[Row]) -> Path:
    import pyarrow
    import pyarrow.parquet

    columns = {key: _one_type(values) for key, values in _columns(rows).items()}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def _one_type(values: list[Any]) -> list[Any]:
    """Values as they are if they are all numbers or all text, else as text."""
    known = [value for value in values if value is not None]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
    if numbers or all(isinstance(value, str) for value in known):
        return values
    return [value if value is None else str(_cell(value)) for value in values]
