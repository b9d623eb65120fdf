"""A run directory, read and checked: the only door from files to reports.

To stay small with many clients, a round keeps five quantiles of the clients' accuracies; only
the last evaluation keeps every client.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fedket.errors import CheckpointError
from fedket.experiment.rows import flatten
from fedket.facts import Facts
from fedket.record import Environment, Quality, RoundRecord, Summary, summarise
from fedket.record_files import (
    ENVIRONMENT,
    FACTS,
    ROUNDS,
    SUMMARY,
    check_format,
    damaged,
    read,
    read_json,
    read_rounds,
)
from fedket.schema import parse_toml

QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)
"""Of the clients' accuracies, kept for every evaluation."""


class RunRecord(NamedTuple):
    """Everything a report says about one run.

    Attributes:
        directory: Name of the run directory, without its parents.
        config: Resolved configuration, nested as in the TOML file.
        config_text: The same, as written.
        environment: Versions and machine.
        facts: What was trained and on what; without `label_counts`.
        label_counts: Training samples, shape (clients, classes).
        rounds: Finished rounds in order, from round 1; without `cohort` and `client_accuracy`.
        client_quantiles: Round -> `QUANTILES` of the accuracies of the clients it was evaluated on.
        client_accuracy: Of the last evaluation, shape (clients,), NaN where a client was not
            evaluated then; or None.
        evaluated_clients: The most clients that any round was evaluated on.
        quality: Of the last evaluation; rounds keep its numbers without matrix and bins.
        summary: The run in numbers.
    """

    directory: str
    config: dict[str, Any]
    config_text: str
    environment: Environment
    facts: Facts
    label_counts: np.ndarray
    rounds: list[RoundRecord]
    client_quantiles: dict[int, np.ndarray]
    client_accuracy: np.ndarray | None
    evaluated_clients: int
    quality: Quality | None
    summary: Summary

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return str(self.config["name"])

    @property
    def num_clients(self) -> int:
        """Clients that hold data, in a cohort or not."""
        return len(self.label_counts)

    def series(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Rounds and values of a number of them where it is known, both shape (points,).

        It is a field of the record or of its `quality`, or one of its `metrics`.
        """
        pairs = [(r.round, value) for r in self.rounds if (value := value_of(r, name)) is not None]
        points = np.array(pairs, dtype=float).reshape(-1, 2)
        return points[:, 0], points[:, 1]

    def setting(self, path: str, default: Any = None) -> Any:
        """The config value at a dotted path such as `strategy.kind`."""
        return flatten(self.config).get(path, default)


def value_of(record: RoundRecord, name: str) -> float | None:
    """A number of a round by its name, see `RunRecord.series`; None if it is not known."""
    value = getattr(record, name, None) if name in RoundRecord.model_fields else None
    if value is None and name in Quality.model_fields:
        value = getattr(record.quality, name, None)
    if value is None:
        value = record.metrics.get(name)
    return value if isinstance(value, int | float) else None


def read_run(directory: Path) -> RunRecord:
    """Read a run directory; the run may be finished, interrupted, killed or still going on.

    Args:
        directory: What `fedket run` wrote.

    Returns:
        The checked record. A half-written last line of `rounds.jsonl` is left out.

    Raises:
        CheckpointError: A file is missing or damaged, or another version of fedket wrote it.
    """
    if not directory.is_dir():
        raise CheckpointError(f"`{directory}` is not a run directory; give one that fedket wrote")
    check_format(directory)
    config, config_text = _read_config(directory / "config.toml")
    environment = read_json(directory / ENVIRONMENT, Environment)
    facts = read_json(directory / FACTS, Facts)
    # Before the rounds: a run that ends while we read must not look short of rounds.
    path = directory / SUMMARY
    summary = read_json(path, Summary) if path.exists() else None
    rounds, quantiles, last, evaluated, quality = _condense(directory, facts.clients)
    return RunRecord(
        directory=directory.resolve().name,
        config=config,
        config_text=config_text,
        environment=environment,
        facts=facts.model_copy(update={"label_counts": ()}),
        label_counts=np.asarray(facts.label_counts, dtype=np.int64),
        rounds=rounds,
        client_quantiles=quantiles,
        client_accuracy=last,
        evaluated_clients=evaluated,
        quality=quality,
        summary=_up_to_date(summary, rounds, directory / ROUNDS),
    )


def _read_config(path: Path) -> tuple[dict[str, Any], str]:
    try:
        text = read(path).decode()
        config = parse_toml(text)
    except ValueError as error:
        raise damaged(path, " ".join(str(error).split())) from None
    if not isinstance(config.get("name"), str):
        raise damaged(path, "`name` must be a string")
    return config, text


def _condense(
    directory: Path, num_clients: int
) -> tuple[list[RoundRecord], dict[int, np.ndarray], np.ndarray | None, int, Quality | None]:
    """Rounds, quantiles over clients by round, last accuracies, how many, and last quality."""
    rounds: list[RoundRecord] = []
    quantiles: dict[int, np.ndarray] = {}
    last: np.ndarray | None = None
    most, quality = 0, None
    for record in read_rounds(directory):
        if record.client_accuracy is not None:
            found = np.array(record.client_accuracy, dtype=float)  # NaN: no samples, no accuracy
            ids = np.arange(num_clients) if len(found) == num_clients else np.array(record.cohort)
            if len(found) != len(ids) or ids.max() >= num_clients:
                raise damaged(
                    directory / ROUNDS,
                    f"line {record.round}: `client_accuracy` must name the {len(record.cohort)} "
                    f"clients of the cohort, or all {num_clients}",
                )
            last = np.full(num_clients, np.nan)
            last[ids] = found
            quantiles[record.round] = np.nanquantile(found, QUANTILES)
            most = max(most, len(ids))
        numbers = record.quality
        if numbers is not None:
            quality = numbers
            numbers = numbers.model_copy(update={"confusion": (), "calibration": ()})
        small = {"cohort": (), "client_accuracy": None, "quality": numbers}
        rounds.append(record.model_copy(update=small))
    return rounds, quantiles, last, most, quality


def _up_to_date(summary: Summary | None, rounds: list[RoundRecord], path: Path) -> Summary:
    if summary is not None and summary.rounds > len(rounds):
        raise damaged(
            path, f"it holds {len(rounds)} rounds, but summary.json counts {summary.rounds}"
        )
    # More rounds than the summary counts: the run was resumed and goes on.
    if summary is None or summary.rounds < len(rounds):
        return summarise(rounds, "unfinished")
    return summary
