"""TOML file and `--set` values -> `ExperimentConfig`, with errors a newcomer understands."""

import datetime
import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from fedket.errors import ConfigError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.explain import explain


def load_config(path: Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read an experiment file.

    Args:
        path: TOML file; gives the experiment its name if it does not say one.
        overrides: `table.key=value` strings; the value is TOML, bare words count as strings.

    Raises:
        ConfigError: Naming file, field, what arrived and what is allowed.
    """
    values = read_toml(path)
    override(values, overrides)
    values.setdefault("name", _as_name(path.stem))
    return parse_config(values, source=str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file into nested values.

    Raises:
        ConfigError: If there is no such file or it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(
            f"no experiment file {path}; `fedket list` names the shipped ones"
        ) from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a directory; name an experiment file (TOML)") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as such"
        ) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def override(values: dict[str, Any], overrides: Sequence[str]) -> None:
    """Change nested values in place, one `table.key=value` after the other.

    Raises:
        ConfigError: If one is malformed.
    """
    for text in overrides:
        name, equals, raw = text.partition("=")
        *tables, key = (part.strip() for part in name.split("."))
        if not equals or not all([*tables, key]):
            raise ConfigError(f"--set takes TABLE.KEY=VALUE, got `{text}`")
        target = values
        for table in tables:
            target = target.setdefault(table, {})
            if not isinstance(target, dict):
                raise ConfigError(f"--set {text}: `{table}` is a value, not a table")
        target[key] = _parse_value(raw.strip())


def parse_config(values: dict[str, Any], source: str = "config") -> ExperimentConfig:
    """Validate nested values; errors name the field and, for a typing mistake, the nearest key."""
    _refuse_dates(values, source)
    try:
        return ExperimentConfig.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise ConfigError(f"{source}: {explain(error)}") from None


def dump_config(config: ExperimentConfig) -> str:
    """The whole configuration as TOML; `load_config` of it gives an equal config."""
    return tomli_w.dumps(config.model_dump(mode="json"))


def _parse_value(raw: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {raw}")
    except tomllib.TOMLDecodeError:
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
