"""Samples without labels, to be classified: arrays, a table of features, or images."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from fedket.data.image_files import SUFFIXES, read_images
from fedket.data.npz import read_arrays
from fedket.errors import DataError

NAMES = ("x", "x_test", "test_images")
"""Arrays of an .npz file that are taken for samples, the first that is there."""


class Unlabelled(NamedTuple):
    """Samples as stored, shape (samples, ...), and what to call each of them."""

    x: Shaped[np.ndarray, "samples ..."]
    names: tuple[str, ...]


def read_samples(path: Path, side: int = 0) -> Unlabelled:
    """Read samples from a file or folder.

    Args:
        path: `.npz` with an array `x`, `x_test` or `test_images`, or a single one; `.npy`; `.csv`
            of numbers, a row each, a first line of words left out; an image, or a folder with
            images at any depth.
        side: Height and width that images are resized to, pixels; 0 keeps them.

    Raises:
        DataError: There is nothing of the kind, or it is damaged.
    """
    if not path.exists():
        raise DataError(f"no file or folder {path}")
    if path.is_dir() or path.suffix.lower() in SUFFIXES:
        return _read_images(path, side)
    if path.suffix == ".csv":
        x = _read_csv(path)
    elif path.suffix == ".npy":
        x = _read_npy(path)
    else:
        arrays = read_arrays(path)
        name = next((n for n in NAMES if n in arrays), next(iter(arrays), ""))
        if not name or (name not in NAMES and len(arrays) > 1):
            raise DataError(f"{path} holds {', '.join(arrays) or 'nothing'}; name the samples `x`")
        x = arrays[name]
    return Unlabelled(x, tuple(map(str, range(len(x)))))


def _read_images(path: Path, side: int) -> Unlabelled:
    files = [path]
    if path.is_dir():
        found = (file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        files = sorted(file for file in found if not file.name.startswith("."))
    if not files:
        raise DataError(f"{path} holds no image ({', '.join(SUFFIXES)})")
    top = path if path.is_dir() else path.parent
    names = tuple(file.relative_to(top).as_posix() for file in files)
    return Unlabelled(read_images(files, side).pixels, names)


def _read_csv(path: Path) -> np.ndarray:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    try:
        heading = int(not _is_number(lines[0].split(",")[0])) if lines else 0
        return np.loadtxt(lines[heading:], np.float32, delimiter=",", ndmin=2)
    except ValueError as error:
        raise DataError(f"{path} is no table of numbers ({error})") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} is no array of numbers ({error})") from None
