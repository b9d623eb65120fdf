"""Names become data sets: `load_dataset` and the table behind it.

Features are float32 for every source: integer sources (all images) are scaled to [0, 1], float
features are kept as they are. 60,000 images of 28x28 are 188 MB.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fedket.data.columns import read_saved, saved_class_names
from fedket.data.download import find_file
from fedket.data.image_folder import read_image_folder
from fedket.data.labels import check_complete
from fedket.data.npz import read_npz
from fedket.data.originals import FASHION_MNIST, MNIST, is_stored, read_digits, read_image_set
from fedket.data.raw import RawData, check_raw, count_classes, merge_classes, select
from fedket.data.scale import check_ranges, scale_features
from fedket.data.table import Wanted, raw_of, read_tables
from fedket.errors import DataError
from fedket.types import Dataset


class Request(NamedTuple):
    """What a reader may need."""

    path: str
    directory: str
    sha256: str
    image_side: int = 0
    test_fraction: float = 0.2
    class_names: tuple[str, ...] = ()
    skip_corrupt: bool = False


def _read_packed(name: str, request: Request) -> RawData:
    """A packed data set, which has to be in the data directory under its usual name."""
    path = data_directory(request.directory) / name
    if not path.is_file():
        raise DataError(f"no file at {path}; set FEDKET_DATA to the folder that holds {name}")
    return read_npz(path)


PACKED = {
    "cats_vs_dogs": "cats_vs_dogs_96_jpeg.npz",
    "cats_vs_dogs_64": "cats_vs_dogs_64.npz",
    "planes_cars": "cifar10_planes_cars.npz",
    "alzheimer_mri": "alzheimer_mri_64.npz",
}
"""Data set -> its file in the data directory, which nothing downloads."""

SOURCES: dict[str, Callable[[Request], RawData]] = {
    "digits": lambda _: read_digits(),
    "mnist": lambda request: read_image_set(MNIST, data_directory(request.directory)),
    "fashion_mnist": lambda request: read_image_set(
        FASHION_MNIST, data_directory(request.directory)
    ),
    **{name: partial(_read_packed, file) for name, file in PACKED.items()},
    "npz": lambda request: read_npz(
        _find_file(request.path, data_directory(request.directory)), request.sha256
    ),
    "image_folder": lambda request: read_image_folder(
        _find_folder(request.path, data_directory(request.directory)),
        request.image_side,
        request.test_fraction,
        request.class_names,
        request.skip_corrupt,
    ),
}


def load_dataset(
    name: str,
    *,
    path: str = "",
    directory: str = "",
    sha256: str = "",
    classes: tuple[int, ...] = (),
    merge: tuple[tuple[int, int], ...] = (),
    max_train: int = 0,
    max_test: int = 0,
    image_side: int = 0,
    test_fraction: float = 0.2,
    class_names: tuple[str, ...] = (),
    skip_corrupt: bool = False,
    regression: bool | None = None,
) -> Dataset:
    """Load a data set that is stored somewhere, or can be fetched.

    `name` is one of `SOURCES`; the others are the keys of `[data]`, `docs/reference.md`, and mean
    the same: `path` belongs to `npz` and `image_folder`, `sha256` and `regression` to `npz`, those
    of images to `image_folder`. Merging comes before choosing classes, that before cutting, in
    stored order.

    Returns:
        The data set; an `npz` or `image_folder` is named after its path. `num_classes` is counted
        before `max_train` and `max_test` cut.

    Raises:
        DataError: The data is missing, damaged, inconsistent, or not what was asked for.
    """
    if name not in SOURCES:
        raise DataError(f"unknown data set `{name}`; known are {', '.join(SOURCES)}")
    if (path and name not in ("npz", "image_folder")) or (sha256 and name != "npz"):
        raise DataError(
            f"`path` and `sha256` belong to data set `npz`, `path` to `image_folder` too; leave "
            f"them out for `{name}`"
        )
    if (class_names or skip_corrupt) and name != "image_folder":
        raise DataError(
            f"`class_names` and `skip_corrupt` belong to data set `image_folder`, not to `{name}`"
        )
    if regression and (classes or merge or name != "npz"):
        raise DataError("`regression` is for an `npz` of numbers; leave `classes` and `merge` out")
    source = path or name
    request = Request(path, directory, sha256, image_side, test_fraction, class_names, skip_corrupt)
    with _naming(name):
        raw = SOURCES[name](request)
    kept = classes, merge, max_train, max_test
    return _checked(raw, Path(path).stem or name, source, bool(regression), *kept)


def load_table(
    path: str,
    target: str,
    *,
    features: tuple[str, ...] = (),
    group: str = "",
    one_hot: bool = False,
    drop_missing: bool = False,
    test_path: str = "",
    test_fraction: float = 0.2,
    directory: str = "",
    classes: tuple[int, ...] = (),
    merge: tuple[tuple[int, int], ...] = (),
    max_train: int = 0,
    max_test: int = 0,
    regression: bool | None = None,
) -> Dataset:
    """Load a table with a row per sample: CSV, Parquet, or a folder of Hugging Face's `datasets`.

    Args:
        path: The table, or the folder that `Dataset.save_to_disk` wrote; below the data directory
            if it is not here.
        target: Column of the classes, whole numbers or words.
        features: Columns of the features; empty takes all others.
        group: Column of the owners of samples; empty for none.
        one_hot: Whether words among the features become a 0 or 1 for each word.
        drop_missing: Whether rows with a missing value are left out.
        test_path: Another table, for testing; empty takes a share of this one's rows.
        test_fraction: That share, of each class, or of the owners if there are.
        directory: Data directory, as in `load_dataset`.
        classes: As there, of labels 0, 1, ... in the order of the target's values.
        merge: As there.
        max_train: As there.
        max_test: As there.
        regression: Whether the target holds numbers to predict instead of classes.

    Raises:
        DataError: A file is missing or damaged, or columns have values that are no features.
    """
    if regression and (classes or merge):
        raise DataError("a regression has no classes; leave `classes` and `merge` out")
    number = bool(regression)
    wanted = Wanted(target, features, group, one_hot, drop_missing, test_fraction, number)
    folder = data_directory(directory)
    with _naming("table"):
        place, test = find_place(path, folder), find_place(test_path, folder) if test_path else None
        if place.is_dir():
            names = saved_class_names(place, target)
            raw = raw_of(read_saved(place), wanted, str(place), names)
        else:
            raw = read_tables(place, wanted, test)
    kept = classes, merge, max_train, max_test
    return _checked(raw, place.stem, str(place), bool(regression), *kept)


def _checked(
    raw: RawData,
    name: str,
    source: str,
    regression: bool,
    classes: tuple[int, ...],
    merge: tuple[tuple[int, int], ...],
    max_train: int,
    max_test: int,
) -> Dataset:
    """A data set in which every class that counts has training samples."""
    raw = check_raw(raw, source, regression=regression)
    if not (classes or regression):
        count_classes(raw, source)
        check_complete(raw.y_train, [y for _, y in raw.parts.values()], source)
    return assemble(raw, name, source, classes, merge, max_train, max_test)


def assemble(
    raw: RawData,
    name: str,
    source: str,
    classes: tuple[int, ...] = (),
    merge: tuple[tuple[int, int], ...] = (),
    max_train: int = 0,
    max_test: int = 0,
) -> Dataset:
    """Make a data set of checked arrays; arguments as in `load_dataset`.

    Raises:
        DataError: Its parts do not fit each other, or what was asked for.
    """
    raw = merge_classes(raw, source, merge)
    num_classes = len(classes) or count_classes(raw, source)
    kept = select(raw, source, classes, max_train, max_test)
    scaled = {
        part: scale_features(x, raw.max_value, f"{source}: x_{part}")
        for part, (x, _) in kept.parts.items()
    }
    check_ranges(scaled, source)
    has_val = len(scaled.get("val", ())) > 0
    return Dataset(
        name=name,
        x_train=scaled["train"],
        y_train=kept.y_train,
        x_test=scaled["test"],
        y_test=kept.y_test,
        num_classes=num_classes,
        groups=kept.groups,
        x_val=scaled["val"] if has_val else None,
        y_val=kept.y_val if has_val else None,
        class_names=kept.class_names[:num_classes],
        notes=kept.notes,
        max_value=raw.max_value,
    )


def data_directory(directory: str = "") -> Path:
    """Return the data directory: the argument, else `FEDKET_DATA`, else the user's cache."""
    chosen = directory or os.environ.get("FEDKET_DATA", "")
    if chosen:
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("fedket")).expanduser()


def stored(directory: Path) -> dict[str, bool]:
    """Data set that is kept in files of its own -> whether the data directory has it."""
    return {
        **{image_set.name: is_stored(image_set, directory) for image_set in (MNIST, FASHION_MNIST)},
        **{name: (directory / file).is_file() for name, file in PACKED.items()},
    }


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Name the data set that a system's error is about."""
    try:
        yield
    except OSError as error:
        raise DataError(f"data set `{name}` cannot be read ({error}); check its path") from error


def _find_folder(path: str, directory: Path) -> Path:
    if not path:
        raise DataError("data set `image_folder` needs `path`: a folder of <class>/<name>.jpg")
    return find_place(path, directory)


def find_place(path: str, directory: Path) -> Path:
    """A path, or what is called so in the data directory."""
    here = Path(path).expanduser()
    return here if here.exists() or not (directory / path).exists() else directory / path


def _find_file(path: str, directory: Path) -> Path:
    if not path:
        raise DataError("data set `npz` needs `path`: a file, or a name below the data directory")
    return find_file(path, directory, "correct `path`, or set FEDKET_DATA to its folder")
