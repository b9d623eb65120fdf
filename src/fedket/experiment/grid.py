"""Many runs of one experiment: every combination of some settings, each for several seeds."""

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from fedket.errors import ConfigError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.load import parse_config, parse_value
from fedket.experiment.rows import put
from fedket.kinds import BUILT_IN
from fedket.schema import shortened, show_value
from fedket.section import Section, find_section

MOST_RUNS = 10_000
"""Of one grid; more are a slip of the pen."""

Grid = Mapping[str, Sequence[Any]]
"""`TABLE.KEY` -> its values."""


class Setting(NamedTuple):
    """One combination of a grid.

    Attributes:
        values: `TABLE.KEY` -> value.
        config: The experiment with them.
        left_out: What the experiment's own kinds had set and these do not know, in words.
    """

    values: Mapping[str, Any]
    config: ExperimentConfig
    left_out: tuple[str, ...] = ()


def settings_of(config: ExperimentConfig, grid: Grid, folder: Path = Path()) -> list[Setting]:
    """Every combination of a grid, the last key changing fastest.

    Where a setting is another kind than the experiment's own, keys of the old kind stay only if
    the new one has them alike, with the same type and default; the others are left out.

    Args:
        config: The experiment.
        grid: What is varied; empty for the experiment alone.
        folder: Where the files of users' own kinds lie.

    Raises:
        ConfigError: A key is unknown, a value is not allowed, or two do not go together.
    """
    _check(grid)
    plain = config.model_copy(update={"sweep": None})
    combinations = product(*grid.values())
    return [
        _setting(plain, dict(zip(grid, values, strict=True)), folder) for values in combinations
    ]


def with_seed(config: ExperimentConfig, seed: int) -> ExperimentConfig:
    """The experiment with another seed."""
    return config.model_copy(update={"seed": seed})


def parse_grid(texts: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """The grid of a command line.

    Args:
        texts: `TABLE.KEY=VALUE,VALUE,…` each; the values are TOML, bare words count as text.

    Raises:
        ConfigError: One is malformed, or names a key again.
    """
    grid: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        name, equals, raw = text.partition("=")
        values = tuple(parse_value(part.strip()) for part in _split(raw))
        if not equals or not all(name.split(".")) or "" in values:
            raise ConfigError(f"--grid takes TABLE.KEY=VALUE,VALUE,…, got `{shortened(text)}`")
        if name.strip() in grid:
            raise ConfigError(f"--grid names `{shortened(name)}` twice; give all values at once")
        grid[name.strip()] = values
    return grid


def _split(text: str) -> Iterator[str]:
    """Parts between commas that are in no list, table or text."""
    depth, quote, start = 0, "", 0
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "," and not depth:
            yield text[start:place]
            start = place + 1
        else:
            depth += (character in "[{") - (character in "]}")
    yield text[start:]


def _check(grid: Grid) -> None:
    for key, values in grid.items():
        if key == "seed":
            raise ConfigError("a sweep's seeds are given by `seeds`, not as `seed` in its grid")
        if key.partition(".")[0] in ("name", "sweep", "fast", "paper"):
            raise ConfigError(f"`{key}` decides nothing about a run; leave it out of the grid")
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise ConfigError(
                f"`{shortened(key)}` in a grid should be a list of values, got {show_value(values)}"
            )
        if len({repr(value) for value in values}) < len(values):
            raise ConfigError(f"`{shortened(key)}` in a grid has a value twice; name each once")
    count = math.prod(map(len, grid.values()))
    if count > MOST_RUNS:
        raise ConfigError(f"a grid of {count} settings; use {MOST_RUNS} at most")


def _setting(config: ExperimentConfig, values: Mapping[str, Any], folder: Path) -> Setting:
    if not values:
        return Setting(values, config)
    changed = config.model_dump(mode="json", exclude_none=True)
    source = "grid: " + ", ".join(f"{key} = {show_value(v)}" for key, v in values.items())
    left_out: list[str] = []
    for key, value in sorted(values.items(), key=lambda item: not item[0].endswith(".kind")):
        if key.endswith(".kind") and isinstance(value, str):
            left_out += _change_kind(config, changed, key.removesuffix(".kind"), value, folder)
        put(changed, key, deepcopy(value), source)
    return Setting(values, parse_config(changed, source, folder), tuple(left_out))


def _change_kind(
    config: ExperimentConfig, values: dict[str, Any], table: str, kind: str, folder: Path
) -> Iterator[str]:
    """Take keys of another kind out of a table, in place; yield those that had been set."""
    old: Any = config
    for part in table.split("."):
        old = old[int(part)] if isinstance(old, tuple) and part.isdecimal() else old
        old = old if isinstance(old, Section) else getattr(old, part, None)
    group = table.partition(".")[0]
    if not isinstance(old, Section) or old.kind == kind or group not in BUILT_IN:
        return
    known = find_section(group, kind, folder).model_fields
    target: Any = values
    for part in table.split("."):
        target = target[int(part)] if isinstance(target, list) else target[part]
    for key, field in type(old).model_fields.items():
        new = known.get(key)
        alike = new is not None and (new.annotation, new.default) == (
            field.annotation,
            field.default,
        )
        if key == "kind" or alike or key not in target:
            continue
        value = target.pop(key)
        if getattr(old, key) != field.get_default(call_default_factory=True):
            yield f"{table}.{key} = {show_value(value)} of {old.kind}, where it is {kind}"
