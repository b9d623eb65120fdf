"""A run on disk; docs/run-directory.md is the contract. Files are written atomically.

`config.toml` is written last: a directory that has one holds everything needed to continue.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from fedket.errors import CheckpointError, ConfigError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.load import dump_config, override, parse_config
from fedket.experiment.rows import flatten
from fedket.facts import Facts
from fedket.files import lock_directory, sweep, write_atomic
from fedket.record import RoundRecord
from fedket.record_files import FACTS, ROUNDS, check_format, read_json, read_rounds
from fedket.schema import FREE, Table, read_toml, show_value
from fedket.section import user_files

CONFIG, CHECKPOINT, MODEL = "config.toml", "checkpoint.safetensors", "model.safetensors"
BEST, AVERAGED = "best.safetensors", "averaged.safetensors"


def check_output(output: Path) -> None:
    """Raise `CheckpointError` unless `output` does not exist yet, or is an empty directory."""
    if output.exists() and not output.is_dir():
        raise CheckpointError(f"{output} is a file; name a directory for the run")
    if not output.exists() or not any(output.iterdir()):
        return
    continued = f", or continue it with --resume {output}" if (output / CONFIG).exists() else ""
    raise CheckpointError(f"{output} is not empty; name another directory{continued}")


def new_run_directory(config: ExperimentConfig, parent: Path, output: Path | None) -> Path:
    """Create an empty directory: `output`, or `<parent>/<name>-<seed>-<n>` with the first free n.

    Raises:
        CheckpointError: See `check_output`.
        OSError: It cannot be written.
    """
    if output is not None:
        check_output(output)
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


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Raise `CheckpointError` if another process runs there, else keep others out; sweep."""
    with lock_directory(directory) as free:
        if not free:
            raise CheckpointError(f"another fedket is running in {directory}; wait for its end")
        sweep(directory)
        yield


@contextmanager
def emptied_on_failure(directory: Path) -> Iterator[None]:
    """Take back a new run directory if its first files cannot be written."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for path in directory.iterdir():
                path.unlink()
            directory.rmdir()
        raise


def write_config(directory: Path, config: ExperimentConfig) -> None:
    """Write the resolved configuration, after the files of users' kinds that it names."""
    for name, path in user_files(config).items():
        copy = directory / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.resolve() != copy.resolve():
            write_atomic(copy, path.read_bytes())
    write_atomic(directory / CONFIG, dump_config(config))


def read_config(directory: Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Configuration of a run, with some values changed.

    Raises:
        CheckpointError: If the directory is not a run, or its configuration is damaged.
        ConfigError: If an override is wrong.
    """
    path = directory / CONFIG
    if not directory.is_dir():
        raise CheckpointError(f"no run directory {directory}; runs are below `runs` by default")
    if not path.is_file():
        raise CheckpointError(f"{directory} is not a run that can be resumed: it has no {CONFIG}")
    check_format(directory)
    try:
        values = read_toml(path)
        own = parse_config(values, str(path), directory)
    except ConfigError as error:
        raise CheckpointError(f"damaged run: {error}; nothing was changed") from None
    whole, stored = flatten(tomllib.loads(dump_config(own))), flatten(values)
    missing = next((path for path in whole if path not in stored), "")
    if missing:
        raise CheckpointError(
            f"{path} is damaged: `{missing}` is missing, a run has every value; nothing was changed"
        )
    if not overrides:
        return own
    override(values, overrides)
    return parse_config(values, "--set", directory)


def config_hash(config: ExperimentConfig) -> str:
    """SHA-256 of everything that decides the numbers, users' files included."""
    text = json.dumps(deciding_values(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def deciding_values(config: ExperimentConfig) -> dict[str, Any]:
    """Dotted path -> JSON value of all that decides the numbers; users' files by their SHA-256."""
    values = dict(_deciding(config)) | source_hashes(config)
    decides_noise = values.get("privacy.epsilon") and "privacy.noise_multiplier" not in values
    if decides_noise or (config.schedule is not None and config.schedule.spans_run()):
        values["federation.rounds"] = config.federation.rounds
    return values


def source_hashes(config: ExperimentConfig) -> dict[str, str]:
    """SHA-256 of each file of users' kinds that decide numbers: a tracker does not."""
    files = user_files(config.model_copy(update={"track": None})).items()
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files}


def check_same_experiment(directory: Path, own: ExperimentConfig, config: ExperimentConfig) -> None:
    """Raise `CheckpointError` naming the first value in which `config` and a run's `own` differ."""
    difference = first_difference(deciding_values(own), deciding_values(config))
    if difference is not None:
        path, there, here = difference
        raise CheckpointError(
            f"{directory} belongs to another configuration: `{path}` is {there} there, {here} "
            f"here; resume with its own, or start a new run"
        )


def first_difference(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, str, str] | None:
    """Path of the first of `deciding_values` that differs, and both values in words."""
    for path in {**old, **new}:
        if path in old and path in new and old[path] == new[path]:
            continue
        there, here = (show_value(v[path]) if path in v else "absent" for v in (old, new))
        return path, there, here
    return None


def check_same_facts(directory: Path, facts: Facts) -> None:
    """Raise `CheckpointError` naming the first fact that changed since a run was started."""
    path = directory / FACTS
    old = read_json(path, Facts)
    for name, value in facts:  # words may change, and what more rounds cost
        if (
            name not in ("caveats", "runs_on", "privacy", "class_names")
            and getattr(old, name) != value
        ):
            raise CheckpointError(
                f"`{name}` differs from {path}: the data or fedket changed since the run started; "
                f"restore them, or start a new run"
            )


def read_checkpointed_rounds(directory: Path, last: int) -> list[RoundRecord]:
    """Records of rounds 1 … `last`; what follows belongs to rounds that are run again.

    Raises:
        CheckpointError: If one is missing or damaged.
    """
    try:
        records = list(islice(read_rounds(directory), last))
    except CheckpointError as error:
        raise CheckpointError(f"{error}; nothing was changed") from None
    if len(records) < last:
        raise CheckpointError(
            f"{directory / ROUNDS} is damaged: it does not hold rounds 1 to {last} of the "
            "checkpoint; nothing was changed"
        )
    return records


def _deciding(table: Table, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and JSON value of every value that decides numbers."""
    dumped = table.model_dump(mode="json")
    for name, field in type(table).model_fields.items():
        value = getattr(table, name)
        if FREE in field.metadata or value is None:  # a table that is absent
            continue
        if isinstance(value, Table):
            yield from _deciding(value, f"{prefix}{name}.")
        elif isinstance(value, tuple) and any(isinstance(item, Table) for item in value):
            for number, item in enumerate(value):
                yield from _deciding(item, f"{prefix}{name}.{number}.")
        else:
            yield f"{prefix}{name}", dumped[name]
