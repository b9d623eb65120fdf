"""Data sets in numpy's .npz format, without pickles.

These layouts are understood; other arrays in the file are ignored, and so is the case of names:

- `x_train, y_train, x_test, y_test`, optionally `x_val, y_val` and the owner of each training
  sample;
- `train_images, train_labels, test_images, test_labels` and perhaps `val_images, val_labels`, as
  MedMNIST has them;
- the same with each `x` as joined JPEG files, `jpeg_*` and `offset_*`;
- `x, y` and a boolean `is_test` (or `is_subject_test`), optionally with the owner of each sample;
  no owner may then be on both sides.

The owner array is called `group` or `subject` (`_train` may follow where parts are apart).
"""

import hashlib
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fedket.data.jpeg import decode_jpegs
from fedket.data.raw import RawData
from fedket.data.unpacking import check_growth
from fedket.errors import DataError

Arrays = dict[str, np.ndarray]

SPLIT = ("x_train", "y_train", "x_test", "y_test")
SPLIT_VAL = ("x_val", "y_val")
MEDMNIST = ("train_images", "train_labels", "test_images", "test_labels")
MEDMNIST_VAL = ("val_images", "val_labels")
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
        stored = {name.removesuffix(".npy"): name for name in archive.namelist()}
        found = {name.lower(): member for name, member in stored.items()} | stored
        for required, more, owned, build in LAYOUTS:
            if set(required) <= set(found):
                owners = [name for name in owned if name in found][:1]
                names = (*required, *_both_or_none(more, found, path), *owners)
                arrays = {name: _read_member(archive, found[name]) for name in names}
                return build(arrays, arrays[owners[0]] if owners else None, str(path))
    raise _no_data_set(path, list(stored))


def _both_or_none(pair: tuple[str, ...], found: Collection[str], path: Path) -> tuple[str, ...]:
    """The names of a part that may be absent."""
    there = [name for name in pair if name in found]
    if there and len(there) < len(pair):
        raise DataError(f"{path} has `{there[0]}` alone; store {' and '.join(pair)}, or neither")
    return tuple(there)


def read_arrays(path: Path) -> Arrays:
    """Read every array of an .npz file, whatever it holds.

    Raises:
        DataError: The file is missing or damaged.
    """
    with _open(path) as archive:
        return {
            name.removesuffix(".npy"): _read_member(archive, name) for name in archive.namelist()
        }


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
        raise DataError(f"{path} is no readable .npz file ({reason}); {_advice(path)}") from error


OTHERS = (
    (b"\x93NUMPY", "one numpy array", "store all of them in one file: numpy.savez(...)"),
    (b"PAR1", "a Parquet table", 'use kind = "table"'),
    (b"ARROW1", "an Arrow table", 'store it as Parquet and use kind = "table"'),
    (b"\x89HDF", "an HDF5 file", "store its arrays with numpy.savez(...)"),
    (b"\x80", "a Python pickle", "store its arrays with numpy.savez(...)"),
)
"""How files begin that are something else, what they are, and what to do."""

TEXT, PICKLED = (".csv", ".tsv", ".txt"), (".pt", ".pth", ".pkl", ".pickle")


def _advice(path: Path) -> str:
    """What a file is that cannot be read, if that is plain, and what to do."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError:
        start = b""
    for magic, what, advice in OTHERS:
        if start.startswith(magic):
            return f"it is {what}: {advice}"
    if path.suffix.lower() in TEXT:
        return 'it is a table: use kind = "table"'
    if path.suffix.lower() in PICKLED:
        return "it holds Python objects: store its arrays with numpy.savez(...)"
    return "get it again"


def _read_member(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    """Read one array to the last byte, so that zipfile compares its checksum."""
    name = member.removesuffix(".npy")
    with archive.open(member) as file:
        try:
            array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
        except ValueError as error:
            if "Object arrays" not in str(error):
                raise
            raise DataError(
                f"array `{name}` in {archive.filename} holds Python objects; store numbers: "
                f"{name}.astype(int) for labels, .astype(numpy.float32) for features"
            ) from None
        if file.read(1):
            raise DataError(f"array `{name}` in {archive.filename} is damaged (it goes on)")
    return array


def _no_data_set(path: Path, found: list[str]) -> DataError:
    shown = ", ".join(found[:6]) + (", ..." if len(found) > 6 else "")
    if any(name.endswith("data.pkl") for name in found):
        return DataError(
            f"{path} is a PyTorch file; store its tensors with numpy.savez(..., x_train=...)"
        )
    return DataError(
        f"{path} is no data set: found {len(found)} arrays ({shown}); needed are "
        f"{', '.join(SPLIT)}, or {', '.join(MEDMNIST)}, or x, y, is_test"
    )


def _from_split(arrays: Arrays, groups: np.ndarray | None, _source: str) -> RawData:
    x_train, y_train, x_test, y_test = (arrays[name] for name in SPLIT)
    x_val, y_val = (arrays.get(name) for name in SPLIT_VAL)
    return RawData(x_train, y_train, x_test, y_test, groups, x_val=x_val, y_val=y_val)


def _from_medmnist(arrays: Arrays, groups: np.ndarray | None, source: str) -> RawData:
    names = dict(zip((*MEDMNIST, *MEDMNIST_VAL), (*SPLIT, *SPLIT_VAL), strict=True))
    renamed = {names.get(name, name): array for name, array in arrays.items()}
    return _from_split(renamed, groups, source)


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

Names = tuple[str, ...]

LAYOUTS: tuple[tuple[Names, Names, Names, Build], ...] = (
    (SPLIT, SPLIT_VAL, TRAIN_GROUPS, _from_split),
    (MEDMNIST, MEDMNIST_VAL, TRAIN_GROUPS, _from_medmnist),
    (JPEG, (), TRAIN_GROUPS, _from_jpeg),
    (("x", "y", "is_test"), (), GROUPS, _from_flags),
    (("x", "y", "is_subject_test"), (), GROUPS, _from_flags),
)
"""Arrays that must be there, that may, names for the owners, and what makes a data set of them."""
