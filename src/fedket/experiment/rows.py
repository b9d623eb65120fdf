"""Several experiments in one file: what they share, and what each changes.

A table `[rows."NAME"]` is one experiment, called `FILE.toml:NAME`: the values above it, changed by
its own, whose keys may be nested or dotted (`federation.rounds = 3`). What some rows share stands
in a table `[groups."NAME"]`, between the two for rows that say `group = "NAME"`. Two things are
added to instead of replaced: the file's `name`, to which the row's is appended, and
`paper.assumptions`.
"""

from collections.abc import Mapping
from copy import deepcopy
from itertools import chain
from pathlib import Path
from typing import Any

from fedket.errors import ConfigError, meant
from fedket.schema import MAX_DEPTH, TOO_DEEP, shortened

ROWS, GROUPS, GROUP = "rows", "groups", "group"
EXTENDED = "paper.assumptions"
"""A list to which groups and rows add."""


def split_row(path: Path) -> tuple[Path, str]:
    """`FILE.toml:ROW` as file and row; the row is empty if none is named."""
    file, _, row = str(path).rpartition(":")
    return (Path(file), row) if file.endswith(".toml") and not path.is_file() else (path, "")


def rows_of(values: Mapping[str, Any], source: str, kind: str = ROWS) -> dict[str, dict[str, Any]]:
    """Name and own values of each row, or group, in the order of the file; empty if it has none.

    Raises:
        ConfigError: If they are no tables.
    """
    rows = values.get(kind, {})
    if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
        what = f'a table for each {kind.removesuffix("s")}, [{kind}."NAME"]'
        raise ConfigError(f"{source}: `{kind}` should hold {what}")
    return rows


def choose_row(values: Mapping[str, Any], file: Path, row: str) -> dict[str, Any]:
    """The values of one experiment of a file.

    Args:
        values: Of the whole file.
        file: For messages.
        row: Which; empty for the only one of a file without rows.

    Raises:
        ConfigError: There is no such row or group, or there are several rows and none is named.
    """
    rows = rows_of(values, str(file))
    if row not in rows:
        if row or rows:
            raise ConfigError(_no_such_row(file, row, list(rows)))
        return deepcopy(dict(values))
    source = f"{file}:{row}"
    if "name" in rows[row]:
        raise ConfigError(f"{source}: a row has no `name` of its own; it is called `{row}`")
    shared = {key: value for key, value in values.items() if key not in (ROWS, GROUPS)}
    own = dict(rows[row])
    layers = [shared, _group(values, str(own.pop(GROUP, "")), source), own]
    flat = [flatten(layer) for layer in deepcopy(layers)]
    merged: dict[str, Any] = {}
    for layer in flat:
        merged |= layer
    assumed = [layer[EXTENDED] for layer in flat if EXTENDED in layer]
    if assumed and all(isinstance(assumptions, list) for assumptions in assumed):
        merged[EXTENDED] = [*chain.from_iterable(assumed)]
    chosen: dict[str, Any] = {}
    for path, value in merged.items():
        put(chosen, path, value, source)
    return {**chosen, "name": f"{values['name']}-{row}" if "name" in values else row}


def _group(values: Mapping[str, Any], name: str, source: str) -> dict[str, Any]:
    """What the rows of a group share; empty for a row of none."""
    groups: dict[str, dict[str, Any]] = {"": {}} | rows_of(values, source, GROUPS)
    if name not in groups:
        raise ConfigError(f"{source}: no group `{shortened(name)}`{meant(name, groups)}")
    return groups[name]


def flatten(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables as one, keys joined by dots: `a.b = 1` in TOML means the same quoted or not."""
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, dict) and value:
            flat |= {f"{key}.{inner}": v for inner, v in flatten(value).items()}
        else:
            flat[key] = value
    return flat


def put(values: dict[str, Any], path: str, value: Any, source: str) -> None:
    """Set the value at a dotted path, in place; tables that are missing are made.

    Args:
        values: Nested tables.
        path: Keys; in a list of tables a number counts from 0.
        value: What to set.
        source: Begins the message of an error.

    Raises:
        ConfigError: If what should be a table is none, or there are too many in each other.
    """
    *tables, key = path.split(".")
    if len(tables) >= MAX_DEPTH:
        raise ConfigError(f"{source}: {TOO_DEEP}")
    target: Any = values
    for table in tables:
        if isinstance(target, list):
            target = _item(target, table, source)
        else:
            target = target.setdefault(table, {})
        if not isinstance(target, dict | list):
            raise ConfigError(f"{source}: `{shortened(table)}` is a value, not a table")
    if isinstance(target, list):
        raise ConfigError(f"{source}: `{tables[-1]}` is a list of tables; name one of its keys")
    target[key] = value


def _item(tables: list[Any], number: str, source: str) -> Any:
    if number not in map(str, range(len(tables))):
        raise ConfigError(
            f"{source}: `{shortened(number)}` is none of the {len(tables)} tables, from 0"
        )
    return tables[int(number)]


def _no_such_row(file: Path, row: str, rows: list[str]) -> str:
    """What is wrong with a row, or with none, and which there are."""
    if not rows:
        return f"{file} has no rows, so no `{row}`; leave `:{row}` out"
    listed = f"(rows: {', '.join(rows)})"
    if not row:
        return f"{file} holds {len(rows)} experiments; name one as `{file}:{rows[0]}` {listed}"
    return f"{file} has no row `{row}`{meant(row, rows)} {listed}"
