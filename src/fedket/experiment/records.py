"""Round records: what `rounds.jsonl` holds of each round, and what `summary.json` makes of them."""

import json
import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from fedket.errors import CheckpointError
from fedket.experiment.run_directory import ROUNDS
from fedket.federated import RoundRecord
from fedket.files import append_line, write_atomic
from fedket.types import SERVER, PhaseCost, Traffic

MAX_LINKS = 64
"""Links whose key level a round records."""


class Dropped(BaseModel):
    """An update that was left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    client: int
    reason: str


class Phase(BaseModel):
    """What one phase of an aggregation cost, all clients together."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    upload_bytes: int
    download_bytes: int
    pad_bits: int
    mac_bits: int
    seconds: float


class RoundLine(BaseModel):
    """One line of `rounds.jsonl`; docs/run-directory.md says what the fields mean."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    round: int
    cohort: list[int]
    dropped: list[Dropped]
    train_loss: float | None
    test_loss: float | None
    test_accuracy: float | None
    client_accuracy: list[float | None] | None
    seconds: float
    upload_bytes: int
    download_bytes: int
    key_bits: int
    key_source: str
    phases: list[Phase] = []
    starvation: str = ""
    key_wait_s: float = 0.0
    key_levels: dict[str, int] = {}
    metrics: dict[str, float] = {}
    lost: str = ""


def round_line(record: RoundRecord, key_source: str) -> RoundLine:
    """A round's record as JSON values."""
    evaluation = record.evaluation
    return RoundLine(
        round=record.round_num,
        cohort=list(record.cohort),
        dropped=[Dropped(client=c, reason=reason) for c, reason in record.dropped.items()],
        train_loss=_exact(record.train_loss),
        test_loss=evaluation and _number(evaluation.test_loss),
        test_accuracy=evaluation and _number(evaluation.test_accuracy),
        client_accuracy=evaluation and _accuracies(evaluation.client_accuracy.tolist()),
        seconds=round(record.seconds, 6),
        upload_bytes=record.upload_bytes,
        download_bytes=record.download_bytes,
        key_bits=record.key_bits,
        key_source=key_source,
        phases=[_phase(cost) for cost in record.traffic.phases],
        starvation=record.traffic.starvation,
        key_wait_s=round(record.traffic.key_wait_s, 6),
        key_levels=_levels(record.traffic),
        metrics=dict(record.metrics),
        lost=record.lost,
    )


def _phase(cost: PhaseCost) -> Phase:
    return Phase(**cost._replace(seconds=round(cost.seconds, 6))._asdict())


def _levels(traffic: Traffic) -> dict[str, int]:
    """Key bits in store by link, `0-1` or `server-0`; of the emptiest links if there are many."""
    lowest = sorted(traffic.key_levels.items(), key=lambda item: (item[1], item[0]))[:MAX_LINKS]
    return {link_name(pair): bits for pair, bits in sorted(lowest)}


def link_name(pair: tuple[int, int]) -> str:
    """The name of a link in records: its parties, the smaller first."""
    return "-".join("server" if party == SERVER else str(party) for party in pair)


def read_rounds(directory: Path, last: int) -> list[RoundLine]:
    """Records of rounds 1 … `last`; what follows belongs to rounds that are run again.

    Raises:
        CheckpointError: If one is missing or damaged.
    """
    path = directory / ROUNDS
    lines = path.read_bytes().splitlines() if path.exists() else []
    try:
        records = [RoundLine.model_validate_json(line) for line in lines[:last]]
    except ValidationError:
        records = []
    if [record.round for record in records] != list(range(1, last + 1)):
        raise CheckpointError(
            f"{path} is damaged: it does not hold rounds 1 to {last} of the checkpoint; "
            f"nothing was changed"
        )
    return records


def rewrite_rounds(directory: Path, records: list[RoundLine]) -> None:
    """Keep only these records."""
    write_atomic(directory / ROUNDS, "".join(f"{_as_json(record)}\n" for record in records))


def append_round(directory: Path, record: RoundLine) -> None:
    """Append one round's record and force it to disk."""
    append_line(directory / ROUNDS, _as_json(record))


def summarise(records: list[RoundLine], seconds: float, status: str) -> dict[str, Any]:
    """Totals over the rounds, and the last and best evaluation."""
    accuracies = [r.test_accuracy for r in records if r.test_accuracy is not None]
    losses = [r.test_loss for r in records if r.test_accuracy is not None]
    return {
        "status": status,
        "rounds": len(records),
        "test_accuracy": accuracies[-1] if accuracies else None,
        "test_loss": losses[-1] if losses else None,
        "best_test_accuracy": max(accuracies, default=None),
        "seconds": round(seconds, 3),
        "upload_bytes": sum(record.upload_bytes for record in records),
        "download_bytes": sum(record.download_bytes for record in records),
        "key_bits": sum(record.key_bits for record in records),
        "key_wait_s": round(sum(record.key_wait_s for record in records), 3),
        "starved_rounds": sum(bool(record.starvation) for record in records),
        "dropped_updates": sum(len(record.dropped) for record in records),
    }


def _as_json(record: RoundLine) -> str:
    return json.dumps(record.model_dump())


def _accuracies(values: list[float]) -> list[float | None] | None:
    """Of each client; None where only the clients themselves could know."""
    return [_number(value) for value in values] if values else None


def _exact(value: float) -> float | None:
    """JSON has no NaN: a lost round has no loss."""
    return value if math.isfinite(value) else None


def _number(value: float) -> float | None:
    """JSON has no NaN: a client without samples has no accuracy."""
    return round(value, 6) if math.isfinite(value) else None
