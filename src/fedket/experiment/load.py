"""TOML file and `--set` values -> `ExperimentConfig`, with errors a newcomer understands."""

import datetime
import json
import re
from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from fedket.errors import ConfigError
from fedket.experiment.config import RENAMED, ExperimentConfig
from fedket.experiment.rows import choose_row, put, split_row
from fedket.schema import explain, parse_toml, read_toml, shortened
from fedket.section import user_files

FAST_SUFFIX = "-fast"
"""Ends the name of an experiment in its fast profile, so that its numbers never pass for full."""


_parsed = lru_cache(maxsize=16)(parse_toml)
"""Rows of one file are often loaded one after the other."""


def load_config(
    path: Path, overrides: Sequence[str] = (), *, fast: bool = False
) -> ExperimentConfig:
    """Read an experiment file.

    Args:
        path: TOML file, `FILE.toml:ROW` for a row of one with several; gives the experiment its
            name if it does not say one.
        overrides: `table.key=value` strings; the value is TOML, bare words count as strings.
        fast: Take the file's fast profile, to which the overrides are then applied.

    Raises:
        ConfigError: Naming file or `--set`, field, what arrived and what is allowed; or if a fast
            profile is asked for and there is none.
    """
    file, row = split_row(path)
    values = choose_row(read_experiment(file), file, row)
    values.setdefault("name", _as_name(file.stem))
    if fast:
        _apply_fast(values, str(path), file.parent)
    before = deepcopy(values)
    override(values, overrides)
    try:
        return parse_config(values, str(path), file.parent)
    except ConfigError:
        if overrides and _is_valid(before, file.parent):
            return parse_config(values, "--set", file.parent)
        raise


def _is_valid(values: dict[str, Any], folder: Path) -> bool:
    try:
        parse_config(values, folder=folder)
    except ConfigError:
        return False
    return True


def read_experiment(file: Path) -> dict[str, Any]:
    """The values of an experiment file (see `read_toml`), not yet checked, with all its rows.

    They are the same objects each time: `choose_row` makes what may be changed.
    """
    hint = "`fedket list` names the shipped ones"
    values = read_toml(file, "experiment file", hint, _parsed)
    if not values:
        raise ConfigError(f"{file} is empty; it should say at least what [data] to train on")
    return values


def override(values: dict[str, Any], overrides: Sequence[str]) -> None:
    """Change nested values in place, one `table.key=value` after the other.

    Raises:
        ConfigError: If one is malformed.
    """
    for text in overrides:
        name, equals, raw = text.partition("=")
        keys = [part.strip() for part in name.split(".")]
        if not equals or not all(keys):
            raise ConfigError(f"--set takes TABLE.KEY=VALUE, got `{shortened(text)}`")
        put(values, ".".join(keys), parse_value(raw.strip()), f"--set {shortened(text)}")


def _apply_fast(values: dict[str, Any], source: str, folder: Path) -> None:
    """Change nested values in place to the fast profile, and the name with them."""
    own = parse_config(values, source, folder)
    if not own.fast:
        raise ConfigError(f"{source} has no [fast] table, so no fast profile; leave --fast out")
    for name, value in own.fast.items():
        put(values, name, value, f"{source}: `fast.{shortened(name)}`")
    values["name"] = own.name[: 80 - len(FAST_SUFFIX)] + FAST_SUFFIX
    parse_config(values, f"{source} [fast]", folder)


def parse_config(
    values: dict[str, Any], source: str = "config", folder: Path = Path()
) -> ExperimentConfig:
    """Validate nested values.

    Args:
        values: As read from TOML.
        source: Where they come from, for messages.
        folder: Where the files of users' own kinds lie.

    Raises:
        ConfigError: Naming the field and, for a typing mistake, the nearest key.
        UserCodeError: Naming the line of a user's file that fails.
    """
    _refuse_dates(values, source)
    text = json.dumps(values, default=str)
    try:
        return ExperimentConfig.model_validate_json(text, context={"folder": folder})
    except (ConfigError, ValidationError) as error:
        said = explain(error, ExperimentConfig) if isinstance(error, ValidationError) else error
        raise ConfigError(f"{source}: {_renamed(values) or said}") from None


def revised(config: ExperimentConfig, values: dict[str, Any]) -> ExperimentConfig:
    """An experiment with other values, whose files lie where they lay.

    Args:
        config: The experiment.
        values: Of `model_dump(mode="json")`, some of them changed.

    Raises:
        ConfigError: They are no experiment.
    """
    return parse_config(values, config.name, folder_of(config))


def folder_of(config: ExperimentConfig) -> Path:
    """Where the files of users' own kinds lie that a configuration names."""
    folders = (path.parents[len(Path(name).parts) - 1] for name, path in user_files(config).items())
    return next(folders, Path())


def _renamed(values: dict[str, Any]) -> str:
    """The first key of an older version, and what it is called now; empty if there is none."""
    for old, new in RENAMED.items():
        target: Any = values
        path, _, value = old.partition(" = ")
        *tables, key = path.split(".")
        for table in tables:
            target = target.get(table) if isinstance(target, dict) else None
        found = isinstance(target, dict) and key in target
        if found and (not value or json.dumps(target[key]) == value):
            return f"`{old}` is now {new if new.startswith('[') else f'`{new}`'}"
    return ""


def dump_config(config: ExperimentConfig) -> str:
    """The whole configuration as TOML; `load_config` of it gives an equal config."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def parse_value(raw: str) -> Any:
    """A value of the command line: TOML, else the word itself."""
    try:
        parsed = parse_toml(f"value = {raw}")
    except ValueError:
        return raw
    return parsed["value"] if len(parsed) == 1 else raw


def _refuse_dates(value: Any, source: str, path: str = "") -> None:
    """No field holds a date, and JSON, which pydantic reads strictly, has none."""
    if isinstance(value, datetime.date | datetime.time):
        raise ConfigError(f"{source}: `{path}` should not be a date or time, got {value}; quote it")
    pairs: dict[Any, Any] = value if isinstance(value, dict) else {}
    pairs = dict(enumerate(value)) if isinstance(value, list) else pairs
    for key, inner in pairs.items():
        _refuse_dates(inner, source, f"{path}.{key}" if path else str(key))


def _as_name(stem: str) -> str:
    """A file's name as the name of an experiment."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("._-")[:80] or "experiment"
