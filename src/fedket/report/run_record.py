"""A run directory, read and checked: the only door from files to reports.

To stay small with many clients, a round keeps five quantiles of the clients' accuracies; only
the last evaluation keeps every client.
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from fedket.errors import CheckpointError
from fedket.report.run_files import (
    Dropped,
    ModelCard,
    Phase,
    RoundLine,
    Totals,
    damaged,
    first_problem,
    is_json_object,
    parse,
    read,
    unreadable,
)

QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)
"""Of the clients' accuracies, kept for every evaluation."""


class Round(NamedTuple):
    """One finished round; the fields of `rounds.jsonl`, condensed.

    Attributes:
        cohort_size: Clients that took part, dropped ones included.
        client_quantiles: `QUANTILES` of the clients' accuracies, or None without evaluation.
    """

    round_num: int
    cohort_size: int
    dropped: list[Dropped]
    train_loss: float | None
    test_loss: float | None
    test_accuracy: float | None
    client_quantiles: list[float] | None
    seconds: float
    upload_bytes: int
    download_bytes: int
    key_bits: int
    key_source: str
    phases: list[Phase]
    starvation: str
    key_wait_s: float
    key_levels: dict[str, int]


class RunRecord(NamedTuple):
    """Everything a report says about one run.

    Attributes:
        directory: Name of the run directory, without its parents.
        config: Resolved configuration, nested as in the TOML file.
        config_text: The same, as written.
        environment: Versions and machine.
        model: What was trained.
        label_counts: Training samples, shape (clients, classes).
        rounds: Finished rounds in order, from round 1.
        client_accuracy: Of the last evaluation, shape (clients,), or None.
        totals: The run in numbers.
    """

    directory: str
    config: dict[str, Any]
    config_text: str
    environment: dict[str, Any]
    model: ModelCard
    label_counts: np.ndarray
    rounds: list[Round]
    client_accuracy: np.ndarray | None
    totals: Totals

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return str(self.config["name"])

    @property
    def num_clients(self) -> int:
        """Clients that hold data, in a cohort or not."""
        return len(self.label_counts)

    def setting(self, path: str, default: Any = None) -> Any:
        """The config value at a dotted path such as `strategy.kind`."""
        value: Any = self.config
        for part in path.split("."):
            if not isinstance(value, dict) or part not in value:
                return default
            value = value[part]
        return value


def read_run(directory: Path) -> RunRecord:
    """Read a run directory; the run may be finished, interrupted, killed or still going on.

    Args:
        directory: What `fedket run` wrote.

    Returns:
        The checked record. A half-written last line of `rounds.jsonl` is left out.

    Raises:
        CheckpointError: A file is missing or damaged.
    """
    if not directory.is_dir():
        raise CheckpointError(f"`{directory}` is not a run directory; give one that fedket wrote")
    config, config_text = _read_config(directory / "config.toml")
    environment = parse(dict[str, Any], directory / "environment.json")
    model: ModelCard = parse(ModelCard, directory / "model.json")
    label_counts = _label_counts(model, directory / "model.json")
    # Before the rounds: a run that ends while we read must not look short of rounds.
    summary = _read_summary(directory / "summary.json")
    rounds, client_accuracy = _read_rounds(directory / "rounds.jsonl", len(label_counts))
    return RunRecord(
        directory=directory.resolve().name,
        config=config,
        config_text=config_text,
        environment=environment,
        model=model.model_copy(update={"label_counts": []}),
        label_counts=label_counts,
        rounds=rounds,
        client_accuracy=client_accuracy,
        totals=_totals(summary, rounds, directory / "rounds.jsonl"),
    )


def _read_config(path: Path) -> tuple[dict[str, Any], str]:
    try:
        text = read(path).decode()
        config = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise damaged(path, " ".join(str(error).split())) from None
    if not isinstance(config.get("name"), str):
        raise damaged(path, "`name` must be a string")
    return config, text


def _label_counts(model: ModelCard, path: Path) -> np.ndarray:
    columns = {len(row) for row in model.label_counts}
    if columns not in ({model.num_classes}, {1}):
        raise damaged(
            path,
            "`label_counts` must have one row per client, and one column per class, or one for all "
            "classes where only the clients know them",
        )
    return np.asarray(model.label_counts, dtype=np.int64)


def _read_summary(path: Path) -> Totals | None:
    return parse(Totals, path) if path.exists() else None


def _read_rounds(path: Path, num_clients: int) -> tuple[list[Round], np.ndarray | None]:
    if not path.exists():  # killed before the first round
        return [], None
    try:
        with path.open("rb") as lines:
            return _parse_rounds(path, lines, num_clients)
    except OSError as error:
        raise unreadable(path, error) from None


def _parse_rounds(
    path: Path, lines: Iterable[bytes], num_clients: int
) -> tuple[list[Round], np.ndarray | None]:
    rounds: list[Round] = []
    last: np.ndarray | None = None
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n") and not is_json_object(line):
            break
        parsed = _parse_round(path, number, line, num_clients)
        if parsed.client_accuracy is not None:
            last = np.asarray(parsed.client_accuracy)
        rounds.append(_condense(parsed))
    return rounds, last


def _parse_round(path: Path, number: int, line: bytes, num_clients: int) -> RoundLine:
    try:
        parsed = RoundLine.model_validate_json(line, strict=True)
    except ValidationError as error:
        raise damaged(path, f"line {number}: {first_problem(error)}") from None
    if parsed.round != number:
        raise damaged(path, f"line {number} holds round {parsed.round}")
    if parsed.client_accuracy is not None and len(parsed.client_accuracy) != num_clients:
        raise damaged(path, f"line {number}: `client_accuracy` must name {num_clients} clients")
    return parsed


def _condense(parsed: RoundLine) -> Round:
    named = {"round", "cohort", "client_accuracy", "dropped", "phases", "metrics"}
    fields = parsed.model_dump(exclude=named)
    accuracy = parsed.client_accuracy
    quantiles = None if accuracy is None else np.quantile(accuracy, QUANTILES).tolist()
    return Round(
        round_num=parsed.round,
        cohort_size=len(parsed.cohort),
        client_quantiles=quantiles,
        dropped=parsed.dropped,
        phases=parsed.phases,
        **fields,
    )


def _totals(summary: Totals | None, rounds: list[Round], path: Path) -> Totals:
    if summary is None:
        return _sum_up(rounds)
    if summary.rounds > len(rounds):
        raise damaged(
            path, f"it holds {len(rounds)} rounds, but summary.json counts {summary.rounds}"
        )
    # More rounds than the summary counts: the run was resumed and goes on.
    return summary if summary.rounds == len(rounds) else _sum_up(rounds)


def _sum_up(rounds: list[Round]) -> Totals:
    accuracies = [r.test_accuracy for r in rounds if r.test_accuracy is not None]
    losses = [r.test_loss for r in rounds if r.test_loss is not None]
    return Totals(
        status="unfinished",
        rounds=len(rounds),
        test_accuracy=accuracies[-1] if accuracies else None,
        test_loss=losses[-1] if losses else None,
        best_test_accuracy=max(accuracies, default=None),
        seconds=float(sum(r.seconds for r in rounds)),
        upload_bytes=sum(r.upload_bytes for r in rounds),
        download_bytes=sum(r.download_bytes for r in rounds),
        key_bits=sum(r.key_bits for r in rounds),
        dropped_updates=sum(len(r.dropped) for r in rounds),
        parameters_sha256="",
    )
