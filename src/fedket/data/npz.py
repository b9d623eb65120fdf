"""Data sets in numpy's .npz format, without pickles.

Three layouts are understood; other arrays in the file are ignored:

- `x_train, y_train, x_test, y_test`, optionally with the owner of each training sample;
- the same with each `x` as joined JPEG files, `jpeg_*` and `offset_*`;
- `x, y` and a boolean `is_test` (or `is_subject_test`), optionally with the owner of each sample;
  no owner may then be on both sides.

The owner array is called `group` or `subject` (`_train` may follow in the first two layouts).
"""

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fedket.data.jpeg import decode_jpegs
from fedket.data.raw import RawData
from fedket.data.unpacking import check_growth
from fedket.errors import DataError

Arrays = dict[str, np.ndarray]

SPLIT = ("x_train", "y_train", "x_test", "y_test")
JPEG = ("jpeg_train", "offset_train", "y_train", "jpeg_test", "offset_test", "y_test")
GROUPS = ("group", "subject")
TRAIN_GROUPS = ("group_train", "subject_train", *GROUPS)


def read_npz(path: Path, sha256: str = "") -> RawData:
    """Read a data set from an .npz file.

    Args:
        path: The file.
        sha256: Its expected checksum in hex; empty means not checked.

    Returns:
        The arrays as stored (JPEG images decoded), not yet checked against each other.

    Raises:
        DataError: The file is missing or damaged, has another checksum, or is no data set.
    """
    with _open(path, sha256) as archive:
        found = [name.removesuffix(".npy") for name in archive.namelist()]
        for required, optional, build in LAYOUTS:
            if set(required) <= set(found):
                owners = [name for name in optional if name in found][:1]
                names = (*required, *owners)
                arrays = {name: _read_member(archive, name) for name in names}
                return build(arrays, arrays[owners[0]] if owners else None, str(path))
    raise _no_data_set(path, found)


def read_arrays(path: Path) -> Arrays:
    """Read every array of an .npz file, whatever it holds.

    Raises:
        DataError: The file is missing or damaged.
    """
    with _open(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        return {name: _read_member(archive, name) for name in names}


def _check_sha256(path: Path, expected: str) -> None:
    try:
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); check its permissions") from error
    if actual != expected.lower():
        raise DataError(
            f"{path} has sha256 {actual}, expected {expected}; it is damaged or another file: "
            "get it again or correct the checksum"
        )


@contextmanager
def _open(path: Path, sha256: str = "") -> Iterator[zipfile.ZipFile]:
    if not path.is_file():
        raise DataError(f"{path} does not exist; give a path to an .npz file")
    if sha256:
        _check_sha256(path, sha256)
    try:
        with zipfile.ZipFile(path) as archive:
            check_growth(archive, path)
            yield archive
    except DataError:
        raise
    except Exception as error:  # zipfile, its codecs and numpy raise a dozen types on bad bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} is no readable .npz file ({reason}); get it again") from error


def _read_member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Read one array to the last byte, so that zipfile compares its checksum."""
    with archive.open(f"{name}.npy") as file:
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):
            raise DataError(f"array `{name}` in {archive.filename} is damaged (it goes on)")
    return array


def _no_data_set(path: Path, found: list[str]) -> DataError:
    shown = ", ".join(found[:6]) + (", ..." if len(found) > 6 else "")
    return DataError(
        f"{path} is no data set: found {len(found)} arrays ({shown}); needed are "
        f"{', '.join(SPLIT)}, or x, y, is_test"
    )


def _from_split(arrays: Arrays, groups: np.ndarray | None, _source: str) -> RawData:
    x_train, y_train, x_test, y_test = (arrays[name] for name in SPLIT)
    return RawData(x_train, y_train, x_test, y_test, groups)


def _from_jpeg(arrays: Arrays, groups: np.ndarray | None, source: str) -> RawData:
    def images(part: str) -> np.ndarray:
        data, offsets = arrays[f"jpeg_{part}"], arrays[f"offset_{part}"]
        return decode_jpegs(data, offsets, f"{source}: jpeg_{part}")

    return RawData(images("train"), arrays["y_train"], images("test"), arrays["y_test"], groups)


def _from_flags(arrays: Arrays, groups: np.ndarray | None, source: str) -> RawData:
    """Split by the boolean array and refuse owners on both sides: their samples would leak."""
    x, y = arrays["x"], arrays["y"]
    (flag,) = set(arrays) & {"is_test", "is_subject_test"}
    test = arrays[flag]
    for name, array in (("x", x), ("y", y), (flag, test), ("group ids", groups)):
        if array is not None and array.shape[:1] != y.shape[:1]:
            raise DataError(f"{source}: {name} has shape {array.shape}, y {y.shape}; align them")
    if test.dtype != np.bool_ or test.ndim != 1:
        raise DataError(f"{source}: {flag} must be booleans of shape (samples,), got {test.dtype}")
    if groups is None:
        return RawData(x[~test], y[~test], x[test], y[test])
    shared = np.intersect1d(groups[~test], groups[test])
    if len(shared):
        raise DataError(f"{source}: group {shared[0]} has training and test samples; choose one")
    return RawData(x[~test], y[~test], x[test], y[test], groups[~test])


Build = Callable[[Arrays, np.ndarray | None, str], RawData]

LAYOUTS: tuple[tuple[tuple[str, ...], tuple[str, ...], Build], ...] = (
    (SPLIT, TRAIN_GROUPS, _from_split),
    (JPEG, TRAIN_GROUPS, _from_jpeg),
    (("x", "y", "is_test"), GROUPS, _from_flags),
    (("x", "y", "is_subject_test"), GROUPS, _from_flags),
)
"""Arrays that must be there, names for the owners, and what makes a data set of them."""
