"""Names become data sets: `load_dataset` and the table behind it.

Features are float32 for every source: integer sources (all images) are scaled to [0, 1], float
features are kept as they are. 60,000 images of 28x28 are 188 MB.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fedket.data.digits import read_digits
from fedket.data.npz import read_npz
from fedket.data.originals import FASHION_MNIST, MNIST, read_image_set
from fedket.data.raw import RawData, check_raw, count_classes, select
from fedket.data.scale import scale_features
from fedket.errors import DataError
from fedket.types import Dataset


class Request(NamedTuple):
    """What a reader may need."""

    path: str
    directory: str
    sha256: str


SOURCES: dict[str, Callable[[Request], RawData]] = {
    "digits": lambda _: read_digits(),
    "mnist": lambda request: read_image_set(MNIST, data_directory(request.directory)),
    "fashion_mnist": lambda request: read_image_set(
        FASHION_MNIST, data_directory(request.directory)
    ),
    "npz": lambda request: read_npz(
        _find_file(request.path, data_directory(request.directory)), request.sha256
    ),
}


def load_dataset(
    name: str,
    *,
    path: str = "",
    directory: str = "",
    sha256: str = "",
    classes: tuple[int, ...] = (),
    max_train: int = 0,
    max_test: int = 0,
) -> Dataset:
    """Load a data set; the arguments are the fields of `DataConfig`.

    Args:
        name: `digits`, `mnist`, `fashion_mnist` or `npz`.
        path: File for `npz`: a path, or a name below the data directory.
        directory: Data directory; empty means `FEDKET_DATA`, else the user's cache.
        sha256: Expected checksum of the `npz` file in hex; empty means not checked.
        classes: Labels to keep, relabelled 0, 1, ... in this order; empty keeps all.
        max_train: Keep the first so many training samples, in stored order, after `classes`;
            0 keeps all.
        max_test: The same for the test part.

    Returns:
        The data set; an `npz` is named after its file. `num_classes` is counted before `max_train`
        and `max_test` cut.

    Raises:
        DataError: The data is missing, damaged, inconsistent, or not what was asked for.
    """
    if name not in SOURCES:
        raise DataError(f"unknown data set `{name}`; known are {', '.join(SOURCES)}")
    if name != "npz" and (path or sha256):
        raise DataError(
            f"`path` and `sha256` belong to data set `npz`; leave them out for `{name}`"
        )
    source = path if name == "npz" else name
    raw = check_raw(_read(name, Request(path, directory, sha256)), source)
    kept = select(raw, source, classes, max_train, max_test)
    return Dataset(
        name=Path(path).stem if name == "npz" else name,
        x_train=scale_features(kept.x_train, raw.max_value, f"{source}: x_train"),
        y_train=kept.y_train,
        x_test=scale_features(kept.x_test, raw.max_value, f"{source}: x_test"),
        y_test=kept.y_test,
        num_classes=len(classes) or count_classes(raw, source),
        groups=kept.groups,
    )


def data_directory(directory: str = "") -> Path:
    """Return the data directory: the argument, else `FEDKET_DATA`, else the user's cache."""
    chosen = directory or os.environ.get("FEDKET_DATA", "")
    if chosen:
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("fedket")).expanduser()


def _read(name: str, request: Request) -> RawData:
    try:
        return SOURCES[name](request)
    except OSError as error:
        raise DataError(f"data set `{name}` cannot be read ({error}); check its path") from error


def _find_file(path: str, directory: Path) -> Path:
    if not path:
        raise DataError("data set `npz` needs `path`: a file, or a name below the data directory")
    candidates = [Path(path).expanduser(), directory / path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    tried = " and ".join(str(candidate) for candidate in dict.fromkeys(candidates))
    raise DataError(f"no file at {tried}; correct `path`, or set FEDKET_DATA to its folder")
