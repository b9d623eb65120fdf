"""A run on disk; docs/run-directory.md is the contract. Files are written atomically."""

import hashlib
import json
import math
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fedket._version import __version__
from fedket.errors import CheckpointError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.load import dump_config, load_config
from fedket.federated import RoundRecord
from fedket.files import append_line, write_atomic

CONFIG, CHECKPOINT, MODEL = "config.toml", "checkpoint.safetensors", "model.safetensors"
ROUNDS, SUMMARY, ENVIRONMENT, FACTS = (
    "rounds.jsonl",
    "summary.json",
    "environment.json",
    "model.json",
)


def new_run_directory(config: ExperimentConfig, parent: Path, output: Path | None) -> Path:
    """Create an empty directory: `output`, or `<parent>/<name>-<seed>-<n>` with the first free n.

    Raises:
        CheckpointError: If `output` exists and is not an empty directory.
    """
    if output is not None:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise CheckpointError(
                f"{output} exists and is not empty; name another directory, or continue with "
                f"--resume {output}"
            )
        output.mkdir(parents=True, exist_ok=True)
        return output
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        directory = parent / f"{config.name}-{config.seed}-{number}"
        try:
            directory.mkdir()
        except FileExistsError:
            number += 1
        else:
            return directory


def config_hash(config: ExperimentConfig) -> str:
    """SHA-256 of everything that decides the numbers; a run may be extended by more rounds."""
    values = config.model_dump(mode="json")
    for name in ("rounds", "checkpoint_every"):
        values["federation"].pop(name)
    values.pop("description")
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def write_start(directory: Path, config: ExperimentConfig, facts: dict[str, Any]) -> None:
    """Write what is known before the first round."""
    write_atomic(directory / CONFIG, dump_config(config))
    write_atomic(directory / FACTS, json.dumps(facts) + "\n")
    write_atomic(directory / ENVIRONMENT, json.dumps(environment(), indent=2) + "\n")


def read_config(directory: Path) -> ExperimentConfig:
    """Configuration of a run.

    Raises:
        CheckpointError: If the directory is not a run.
    """
    if not (directory / CONFIG).is_file():
        raise CheckpointError(f"{directory} is not a run directory: it has no {CONFIG}")
    return load_config(directory / CONFIG)


def check_same_experiment(directory: Path, config: ExperimentConfig) -> None:
    """Raise `CheckpointError` naming the first value in which `config` and the run differ."""
    old = read_config(directory)
    if config_hash(old) == config_hash(config):
        return
    difference = _first_difference(old.model_dump(mode="json"), config.model_dump(mode="json"))
    raise CheckpointError(
        f"{directory} belongs to another configuration: {difference}; "
        f"resume with its own, or start a new run"
    )


def _first_difference(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> str:
    for key in {**old, **new}:
        before, after = old.get(key), new.get(key)
        if before == after or prefix + key in ("federation.rounds", "description"):
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            inner = _first_difference(before, after, f"{prefix}{key}.")
            if inner:
                return inner
            continue
        return f"`{prefix}{key}` is {before!r} there, {after!r} here"
    return ""


def read_rounds(directory: Path, last: int) -> list[dict[str, Any]]:
    """Records of rounds 1 … `last`.

    Raises:
        CheckpointError: If one is missing.
    """
    path = directory / ROUNDS
    records: list[dict[str, Any]] = []
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in lines[:last]:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    if [record.get("round") for record in records] != list(range(1, last + 1)):
        raise CheckpointError(
            f"{path} does not hold rounds 1 to {last} of the checkpoint; nothing was changed"
        )
    return records


def rewrite_rounds(directory: Path, records: list[dict[str, Any]]) -> None:
    """Drop records of rounds after the checkpoint; those rounds are run again, bit for bit."""
    write_atomic(directory / ROUNDS, "".join(json.dumps(record) + "\n" for record in records))


def append_round(directory: Path, record: dict[str, Any]) -> None:
    """Append one round's record and force it to disk."""
    append_line(directory / ROUNDS, json.dumps(record))


def write_summary(directory: Path, summary: dict[str, Any]) -> None:
    """Write the closing summary."""
    write_atomic(directory / SUMMARY, json.dumps(summary, indent=2) + "\n")


def record_dict(record: RoundRecord, key_source: str) -> dict[str, Any]:
    """One line of rounds.jsonl."""
    evaluation = record.evaluation
    return {
        "round": record.round_num,
        "cohort": list(record.cohort),
        "dropped": [{"client": c, "reason": reason} for c, reason in record.dropped.items()],
        "train_loss": record.train_loss,
        "test_loss": evaluation and _number(evaluation.test_loss),
        "test_accuracy": evaluation and evaluation.test_accuracy,
        "client_accuracy": evaluation and [_number(a) for a in evaluation.client_accuracy],
        "seconds": round(record.seconds, 6),
        "upload_bytes": record.upload_bytes,
        "download_bytes": record.download_bytes,
        "key_bits": record.key_bits,
        "key_source": key_source,
    }


def _number(value: float | np.floating[Any]) -> float | None:
    """JSON has no NaN: a client without samples has no accuracy."""
    return round(float(value), 6) if math.isfinite(value) else None


def environment() -> dict[str, Any]:
    """Versions and machine, for the record."""
    return {
        "fedket": __version__,
        "python": platform.python_version(),
        "jax": jax.__version__,
        "numpy": np.__version__,
        "platform": platform.system(),
        "machine": platform.machine(),
        "num_cpus": os.cpu_count(),
        "devices": [device.device_kind for device in jax.devices()],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
