"""Tables with a column to be learned: CSV or Parquet, a row per sample.

The target's values are the classes: whole numbers in their order, words in alphabetical order.
Without a table for testing every class gives an evenly spaced share of its rows to the test part,
or, if rows have owners, whole owners; no random numbers, so the split is the same everywhere.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Shaped

from fedket.data.columns import Columns, first_missing, read_table
from fedket.data.raw import RawData
from fedket.errors import DataError, meant


class Wanted(NamedTuple):
    """What is made of a table's columns.

    Attributes:
        target: Column of the classes.
        features: Columns of the features, in this order; empty takes all others.
        group: Column of the owners of samples; empty for none.
        one_hot: Whether words among the features become a 0 or 1 for each word.
        drop_missing: Whether rows with a missing value are left out.
        test_fraction: Share of each class, or of the owners, for testing without a test part.
        regression: Whether the target holds numbers to predict instead of classes.
    """

    target: str
    features: tuple[str, ...] = ()
    group: str = ""
    one_hot: bool = False
    drop_missing: bool = False
    test_fraction: float = 0.2
    regression: bool = False


def read_tables(path: Path, wanted: Wanted, test_path: Path | None = None) -> RawData:
    """Read a table, and perhaps another one for testing.

    Args:
        path: CSV (comma, semicolon or tab; a line of names first), or Parquet.
        wanted: Which columns.
        test_path: Rows for testing; None takes a share of `path`'s.

    Raises:
        DataError: A file is damaged, a column is missing, or has values that are no features.
    """
    paths = {"train": path, **({"test": test_path} if test_path else {})}
    return raw_of({part: read_table(place) for part, place in paths.items()}, wanted, str(path))


def read_features(
    path: Path, wanted: Wanted, trained: Columns, source: str
) -> Shaped[np.ndarray, "rows ..."]:
    """Read the features of a table's rows, by the names that training had; other columns may be.

    Args:
        path: The table, without missing values.
        wanted: What was made of the training table.
        trained: Its columns.
        source: Where they come from, for messages.

    Raises:
        DataError: A column is missing, or has values that are no features.
    """
    first = _complete(trained, wanted, source, {})
    asked = Wanted("", tuple(_used(first, wanted, source)), one_hot=wanted.one_hot)
    words = _words_of(first, asked, source)
    columns = _complete(read_table(path), asked, str(path), {})
    return _features(columns, asked, words, str(path))


def raw_of(
    parts: Mapping[str, Columns],
    wanted: Wanted,
    source: str,
    class_names: tuple[str, ...] = (),
) -> RawData:
    """Make arrays of columns.

    Args:
        parts: Columns of `train`, and of `test` and `val` if they are apart.
        wanted: Which ones.
        source: Where they come from, for messages.
        class_names: What whole numbers of the target stand for; empty to find classes in it.

    Raises:
        DataError: See `read_tables`.
    """
    notes: dict[str, None] = {}
    whole = {part: _complete(c, wanted, f"{source}, {part}", notes) for part, c in parts.items()}
    values = tuple(map(str, range(len(class_names)))) or _in_order(whole["train"][wanted.target])
    names = () if wanted.regression else class_names or values
    labels = {part: _labels(columns, wanted, values, source) for part, columns in whole.items()}
    words = _words_of(whole["train"], wanted, source)
    arrays = {
        part: (_features(columns, wanted, words, source), labels[part])
        for part, columns in whole.items()
    }
    owners = _as_words(whole["train"][wanted.group]) if wanted.group else None
    if "test" not in arrays:
        (x, y), fraction = arrays["train"], wanted.test_fraction
        alike = np.zeros(len(y), int) if wanted.regression else y
        test = _spread(alike if owners is None else owners, fraction, owners is not None, source)
        arrays |= {"train": (x[~test], y[~test]), "test": (x[test], y[test])}
        owners = None if owners is None else owners[~test]
    (x_train, y_train), (x_test, y_test) = arrays["train"], arrays["test"]
    x_val, y_val = arrays.get("val", (None, None))
    raw = RawData(x_train, y_train, x_test, y_test, owners, x_val=x_val, y_val=y_val)
    return raw._replace(class_names=tuple(names), notes=tuple(notes))


def _used(columns: Columns, wanted: Wanted, source: str) -> list[str]:
    """Names of the feature columns; every column that is asked for must be there."""
    for name in filter(None, (wanted.target, *wanted.features, wanted.group)):
        if name not in columns:
            raise DataError(
                f"{source}: no column `{name}`{meant(name, columns)} "
                f"(there are {', '.join(list(columns)[:20])})"
            )
    if wanted.target in wanted.features:
        raise DataError(f"{source}: `{wanted.target}` is the target; leave it out of the features")
    others = [name for name in columns if name not in (wanted.target, wanted.group)]
    if not (wanted.features or others):
        raise DataError(f"{source}: no column is left for features beside `{wanted.target}`")
    return list(wanted.features) or others


def _complete(
    columns: Columns, wanted: Wanted, source: str, notes: dict[str, None]
) -> dict[str, np.ndarray]:
    """The columns that are used, without rows that miss a value if they may be dropped."""
    names = [*_used(columns, wanted, source), wanted.target, wanted.group]
    used = {name: columns[name] for name in names if name}
    missing = {name: gaps for name, c in used.items() if (gaps := first_missing(c)) is not None}
    if not missing:
        return used
    if not wanted.drop_missing:
        shown = ", ".join(f"`{n}` (row {row + 1})" for n, (row, _) in list(missing.items())[:5])
        raise DataError(
            f"{source}: {len(missing)} columns miss values: {shown}; fill them in, leave the "
            "columns out of `data.features`, or drop such rows with `data.drop_missing = true`"
        )
    gone = np.any([gaps for _, gaps in missing.values()], axis=0)
    notes[f"{source}: {gone.sum()} of {len(gone)} rows miss a value and are left out"] = None
    if gone.all():
        raise DataError(f"{source}: every row misses a value; leave columns out")
    return {name: column[~gone] for name, column in used.items()}


def _as_words(column: np.ndarray) -> np.ndarray:
    """Values as text, whole numbers without a point."""
    if column.dtype.kind != "f":
        return column.astype(str)
    return np.array([str(int(v)) if float(v).is_integer() else str(v) for v in column])


def _in_order(target: np.ndarray) -> tuple[str, ...]:
    """The classes: numbers in their order, words in alphabetical order."""
    return tuple(dict.fromkeys(_as_words(np.sort(target)).tolist()))


def _labels(
    columns: Columns, wanted: Wanted, values: tuple[str, ...], source: str
) -> Shaped[np.ndarray, " rows"]:
    """A class's number for each row, or the number to predict."""
    target = columns[wanted.target]
    if wanted.regression and target.dtype.kind == "f" and target.ndim == 1:
        return target
    if target.ndim > 1 or (target.dtype.kind == "f" and np.any(target != np.floor(target))):
        raise DataError(
            f"{source}: target `{wanted.target}` has other values than classes, whole numbers or "
            "words; divide it into classes, or say `data.regression = true` for numbers to predict"
        )
    found = _as_words(target)
    numbers = {value: label for label, value in enumerate(values)}
    if strangers := sorted(set(found.tolist()) - set(numbers)):
        raise DataError(
            f"{source}: no training sample is of class `{strangers[0]}`, a sample of another part "
            "is; leave it out"
        )
    return np.array([numbers[value] for value in found.tolist()], np.int32)


def _words_of(columns: Columns, wanted: Wanted, source: str) -> dict[str, list[str]]:
    """Feature columns of words, and which words the training rows have."""
    named = [n for n in _used(columns, wanted, source) if columns[n].dtype.kind == "O"]
    if named and not wanted.one_hot:
        raise DataError(
            f"{source}: column `{named[0]}` holds words, such as {columns[named[0]][0]!r}; leave "
            "it out of `data.features`, or say `data.one_hot = true` for a 0 or 1 for each word"
        )
    return {name: sorted(set(columns[name].tolist())) for name in named}


def _features(
    columns: Columns, wanted: Wanted, words: Mapping[str, list[str]], source: str
) -> Shaped[np.ndarray, "rows ..."]:
    """Numbers as they are, and a 0 or 1 for each word that the training rows have."""
    blocks = []
    for name in _used(columns, wanted, source):
        column = columns[name]
        if name in words:
            column = column[:, None] == np.array(words[name], object)
        elif column.dtype.kind == "O":
            raise DataError(f"{source}: column `{name}` holds words in one part, numbers in train")
        blocks.append(column[:, None] if column.ndim == 1 else column)
    if len(blocks) == 1:  # images, or arrays of any shape
        return blocks[0] if blocks[0].dtype.kind == "u" else blocks[0].astype(np.float32)
    flat = [block.reshape(len(block), -1) for block in blocks]
    with np.errstate(over="ignore"):
        return np.concatenate(flat, axis=1).astype(np.float32)


def _spread(
    values: np.ndarray, fraction: float, owners: bool, source: str
) -> Bool[np.ndarray, " rows"]:
    """Which rows are for testing: evenly spaced ones of each class, or all rows of some owners."""
    names, place = np.unique(values, return_inverse=True)
    if owners:
        return np.isin(place, _even(len(names), fraction, f"{source}: owners"))
    test = np.zeros(len(values), bool)
    for label in range(len(names)):
        rows = np.flatnonzero(place == label)
        test[rows[_even(len(rows), fraction, f"{source}: rows of class {names[label]}")]] = True
    return test


def _even(count: int, fraction: float, what: str) -> np.ndarray:
    """Evenly spaced places, at least one and not all."""
    taken = min(max(round(fraction * count), 1), count - 1)
    if taken < 1:
        raise DataError(f"{what}: {count} cannot be split; training and testing need one each")
    return (2 * np.arange(taken) + 1) * count // (2 * taken)
