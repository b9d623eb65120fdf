"""TOML file and `--set` values -> `ExperimentConfig`, with errors a newcomer understands."""

import json
import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import tomli_w
from pydantic import BaseModel, ValidationError

from fedket.errors import ConfigError
from fedket.experiment.config import ExperimentConfig, ModelConfig


def load_config(path: Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read an experiment file.

    Args:
        path: TOML file.
        overrides: `table.key=value` strings; the value is TOML, bare words count as strings.

    Raises:
        ConfigError: Naming file, field, what arrived and what is allowed.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(
            f"no experiment file {path}; `fedket list` names the shipped ones"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    for override in overrides:
        _override(values, override)
    values.setdefault("name", path.stem)
    return parse_config(values, source=str(path))


def parse_config(values: dict[str, Any], source: str = "config") -> ExperimentConfig:
    """Validate nested values; errors name the field and, for a typing mistake, the nearest key."""
    try:
        return ExperimentConfig.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise ConfigError(f"{source}: {_explain(error)}") from None


def dump_config(config: ExperimentConfig) -> str:
    """The whole configuration as TOML; `load_config` of it gives an equal config."""
    return tomli_w.dumps(config.model_dump(mode="json"))


def _override(values: dict[str, Any], text: str) -> None:
    name, equals, raw = text.partition("=")
    *tables, key = name.strip().split(".")
    if not equals or not key:
        raise ConfigError(f"--set takes table.key=value, got `{text}`")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {text}: `{table}` is a value, not a table")
    values[key] = _parse_value(raw.strip())


def _parse_value(raw: str) -> Any:
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw


def _explain(error: ValidationError) -> str:
    """The first problem, unknown keys before wrong values, in one line."""
    problems = sorted(error.errors(), key=lambda p: p["type"] != "extra_forbidden")
    problem = problems[0]
    path = [str(part) for part in problem["loc"] if str(part) not in _model_kinds()]
    field = ".".join(path)
    if problem["type"] == "extra_forbidden":
        return f"unknown key `{field}`{_suggest(path)}"
    if problem["type"] == "missing":
        return f"`{field}` is missing"
    if problem["type"] == "union_tag_invalid":
        kinds = ", ".join(sorted(_model_kinds()))
        return f"`{field}.kind` is {problem['ctx']['tag']!r}, allowed: {kinds}"
    message = problem["msg"].removeprefix("Input should be ")
    return f"`{field}` should be {message}, got {problem['input']!r}"


def _suggest(path: list[str]) -> str:
    """Nearest keys of the table an unknown key stands in."""
    known = _known_keys(ExperimentConfig, path[:-1])
    near = get_close_matches(path[-1], known, n=1, cutoff=0.0)
    return f"; did you mean `{near[0]}`? (known: {', '.join(sorted(known))})" if near else ""


def _known_keys(section: type[BaseModel], path: list[str]) -> list[str]:
    if not path:
        return list(section.model_fields)
    field = section.model_fields.get(path[0])
    if field is None:
        return []
    models = _models() if path[0] == "model" else [field.annotation]
    keys = [key for m in models if isinstance(m, type) for key in _known_keys(m, path[1:])]
    return list(dict.fromkeys(keys))


def _models() -> list[type[BaseModel]]:
    return list(get_args(get_args(ModelConfig)[0]))


def _model_kinds() -> set[str]:
    return {str(model.model_fields["kind"].default) for model in _models()}
