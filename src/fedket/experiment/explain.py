"""From pydantic's complaint to one line: which field, what arrived, what is allowed."""

import json
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fedket.experiment.config import ExperimentConfig, ModelConfig

MODELS: dict[str, type[BaseModel]] = {
    model.model_fields["kind"].default: model for model in get_args(get_args(ModelConfig)[0])
}
"""Kind -> class of the `[model]` table."""

SPELLED = {
    "name": "be letters, digits, `.`, `_` and `-`, the first a letter or a digit",
    "sha256": "be 64 hexadecimal digits",
}
"""Fields with a pattern -> what the pattern means."""

ALLOWED_IN_FAST = "be a number, a text, true, false, or a list of numbers or texts"

SHOWN = 60
"""Characters of a wrong value that a message repeats."""


def explain(error: ValidationError) -> str:
    """Describe the first problem; unknown keys come before wrong values."""
    problems = error.errors(include_url=False)
    problem = min(problems, key=lambda p: p["type"] != "extra_forbidden")
    kind, path = _place(problem["loc"])
    if problem["type"] == "extra_forbidden":
        return _unknown(path, kind)
    return _wrong(problem, ".".join(path))


def show_value(value: Any) -> str:
    """A value as TOML spells it, not too long."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _place(loc: tuple[int | str, ...]) -> tuple[str, list[str]]:
    """The model's kind ("" outside its table), and the path without it."""
    path = [str(part) for part in loc]
    if path[:1] == ["model"] and len(path) > 1:
        return path[1], [path[0], *path[2:]]
    if path[:1] == ["fast"]:  # pydantic adds which of the allowed types it tried
        return "", path[:2]
    return "", path


def _unknown(path: list[str], kind: str) -> str:
    """Say where an unknown key belongs, or which known one is nearest."""
    *table, key = path
    known = _keys(table[0], kind) if table else list(ExperimentConfig.model_fields)
    listed = f"(known: {', '.join(known)})"
    owners = [f"`{k}`" for k, model in MODELS.items() if kind and key in model.model_fields]
    if owners:
        belongs = f"it belongs to model kind {' and '.join(owners)}, this one is `{kind}`"
        return f"unknown key `{'.'.join(path)}`: {belongs} {listed}"
    near = get_close_matches(key, known, n=1, cutoff=0.0)
    homes = _homes(key) or [f"`{'.'.join([*table, *near])}`"]
    return f"unknown key `{'.'.join(path)}`; did you mean {' or '.join(homes)}? {listed}"


def _homes(key: str) -> list[str]:
    """Places where a key would be known."""
    homes = [f"`{table}.{key}`" for table in _tables() if key in _keys(table, "")]
    if key in ExperimentConfig.model_fields:
        homes.append(f"`{key}` above the first [table]")
    return homes


def _keys(table: str, kind: str) -> list[str]:
    """Keys of a table; those of one kind in the model's, of any kind when `kind` is empty."""
    if table != "model":
        return list(_tables()[table].model_fields)
    models = [MODELS[kind]] if kind else MODELS.values()
    return list(dict.fromkeys(key for model in models for key in model.model_fields))


def _tables() -> dict[str, Any]:
    """Name -> class of each table; a union for the model's."""
    fields = ExperimentConfig.model_fields.items()
    tables = {n: _without_none(f.annotation) for n, f in fields}
    return {n: t for n, t in tables.items() if n == "model" or hasattr(t, "model_fields")}


def _without_none(annotation: Any) -> Any:
    """`PaperConfig` of `PaperConfig | None`."""
    options = [option for option in get_args(annotation) if option is not type(None)]
    return options[0] if len(options) == 1 else annotation


def _wrong(problem: ErrorDetails, field: str) -> str:
    """Say what a value should be and what it is."""
    arrived = show_value(problem["input"])
    match problem["type"]:
        case "json_invalid":
            return f"a text is not valid Unicode ({problem['msg']})"
        case "missing":
            return f"`{field}` is missing"
        case "union_tag_invalid" | "union_tag_not_found":
            field, kinds = f"{field}.kind", ", ".join(map(repr, MODELS))
            if problem["type"] == "union_tag_not_found":
                return f"`{field}` is missing; it should be one of {kinds}"
            arrived = show_value(problem["input"]["kind"])
            should = f"be one of {kinds}"
        case "model_type" | "dict_type":
            should = "be a table"
        case "string_pattern_mismatch":
            should = SPELLED[field.rpartition(".")[2]]
        case _:
            should = problem["msg"].partition(" should ")[2] or problem["msg"]
            should = ALLOWED_IN_FAST if field.startswith("fast.") else should
    return f"`{field}` should {should}, got {arrived}"
