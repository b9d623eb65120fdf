"""Columns of files: CSV by Python's own reader, Parquet and `datasets` folders by pyarrow.

A column is float64 with NaN for what is missing, or an object array of text with None; arrays of
more axes are float32, images uint8 or uint16.
"""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from fedket.data.image_files import read_images
from fedket.data.unpacking import allowed_bytes, too_large
from fedket.errors import DataError

Columns = Mapping[str, np.ndarray]

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
"""Cells that hold no value, in any case of letters."""

PARQUET = (".parquet", ".pq")
TABLES = (".csv", ".tsv", ".txt", *PARQUET)
"""Suffixes of tables."""

SPLITS = {"train": "train", "test": "test", "validation": "val", "val": "val"}
"""Splits of a `datasets` folder, and the parts that they are."""

Gaps = tuple[int, Bool[np.ndarray, " rows"]]


def read_table(path: Path) -> dict[str, np.ndarray]:
    """Read a table, CSV or, by its suffix, Parquet.

    Raises:
        DataError: The file is missing or damaged, or pyarrow is.
    """
    if not path.is_file():
        raise DataError(f"no table at {path}; give a path to a CSV or Parquet file")
    return _read_parquet(path) if path.suffix.lower() in PARQUET else _read_csv(path)


def first_missing(column: Shaped[np.ndarray, "rows ..."]) -> Gaps | None:
    """The first row without a value, and which rows have none; None if all have one."""
    gaps = np.array([v is None for v in column]) if column.dtype.kind == "O" else None
    if column.dtype.kind == "f":
        gaps = np.isnan(column.reshape(len(column), -1)).any(axis=1)
    return None if gaps is None or not gaps.any() else (int(gaps.argmax()), gaps)


def _read_csv(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            start = file.read(2**16)
            file.seek(0)
            # The separator is what the line of names has most of.
            line = start.partition("\n")[0]
            rows = list(csv.reader(file, delimiter=max(",;\t", key=line.count)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no readable CSV file ({error}); save it as UTF-8") from None
    rows = [row for row in rows if row]
    if len(rows) < 2:
        raise DataError(f"{path} has no rows below a line of names")
    names = [name.strip() for name in rows[0]]
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise DataError(f"{path}: row {number} has {len(row)} cells, the names {len(names)}")
    if repeated := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path}: two columns are called `{repeated[0]}`; rename one")
    cells = zip(*rows[1:], strict=True)
    return {name: _typed([c.strip() for c in c_]) for name, c_ in zip(names, cells, strict=True)}


def _typed(cells: list[str]) -> np.ndarray:
    """Numbers, if all that is there are such, else text."""
    filled = [None if cell.lower() in MISSING else cell for cell in cells]
    try:
        return np.array([np.nan if cell is None else float(cell) for cell in filled])
    except ValueError:
        return np.array(filled, object)


def _arrow(source: Path) -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise DataError(
            f"{source} needs pyarrow to be read; install it: pip install 'fedket[tables]'"
        ) from error
    return pyarrow


def _read_parquet(path: Path) -> dict[str, np.ndarray]:
    arrow = _arrow(path)
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        groups = range(file.metadata.num_row_groups)
        size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
        if size > allowed_bytes(path):
            raise too_large(path, f"unpacks to {size} bytes")
        return _from_arrow(file.read(), str(path))
    except (arrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is no readable Parquet file ({reason}); get it again") from None


def read_saved(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Read a folder that Hugging Face's `Dataset.save_to_disk` wrote: its parts' columns.

    Raises:
        DataError: It is none, or pyarrow is missing.
    """
    listed = folder / "dataset_dict.json"
    names = _json(listed)["splits"] if listed.is_file() else [""]
    known = {
        SPLITS[name or "train"]: folder / name for name in names if (name or "train") in SPLITS
    }
    if "train" not in known:
        raise DataError(f"{folder} has the splits {', '.join(names)}, no `train`; add one")
    return {part: _read_split(place) for part, place in known.items()}


def saved_class_names(folder: Path, target: str) -> tuple[str, ...]:
    """What the whole numbers of a column stand for, if a saved data set says so."""
    info = next(folder.glob("**/dataset_info.json"), None)
    features = _json(info).get("features", {}) if info else {}
    return tuple(features.get(target, {}).get("names", ()))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is no readable JSON ({error}); get it again") from None


def _read_split(folder: Path) -> dict[str, np.ndarray]:
    state = folder / "state.json"
    if not state.is_file():
        raise DataError(
            f"{folder} is no folder that `save_to_disk` of Hugging Face's datasets wrote; it has "
            "no state.json"
        )
    arrow = _arrow(folder)
    files = [folder / Path(file["filename"]).name for file in _json(state)["_data_files"]]
    try:
        tables = []
        for file in files:
            with arrow.memory_map(str(file)) as mapped:
                tables.append(arrow.ipc.open_stream(mapped).read_all())
        return _from_arrow(arrow.concat_tables(tables), str(folder))
    except (arrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{folder} holds no readable Arrow files ({reason})") from None


def _from_arrow(table: Any, source: str) -> dict[str, np.ndarray]:
    pairs = zip(table.column_names, table.columns, strict=True)
    return {name: _values(column, f"{source}: column `{name}`") for name, column in pairs}


def _values(column: Any, source: str) -> np.ndarray:
    """A column of arrow as an array."""
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        return np.array([np.nan if v is None else float(v) for v in column.to_pylist()])
    if types.is_string(kind) or types.is_large_string(kind):
        return np.array(column.to_pylist(), object)
    if types.is_struct(kind) and "bytes" in [kind.field(i).name for i in range(kind.num_fields)]:
        return _images(column.to_pylist(), source)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _stacked(column.to_pylist(), source)
    raise DataError(f"{source} is of type {kind}; leave it out, or store numbers, text or images")


def _images(structs: Iterable[Mapping[str, Any] | None], source: str) -> np.ndarray:
    files: dict[str, bytes] = {}
    for row, struct in enumerate(structs):
        if struct is None or not struct["bytes"]:
            raise DataError(f"{source}, row {row + 1} has no image in it, at most a path")
        files[f"{source}, row {row + 1}"] = struct["bytes"]
    return read_images(files).pixels


def _stacked(rows: list[Any], source: str) -> np.ndarray:
    try:
        return np.array(rows, np.float32)
    except (ValueError, TypeError):
        raise DataError(f"{source} has lists of different lengths, or of no numbers") from None
