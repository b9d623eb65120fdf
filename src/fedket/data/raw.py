"""Arrays as a file holds them, then checked and cut to what was asked for.

Features keep their stored dtype here, so that checks and selection touch as little memory as
possible; `scale_features` makes them float32 at the end.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int32, Shaped

from fedket.errors import DataError

MAX_CLASSES = 65_536
"""Labels beyond this are taken for a mistake (an id in the place of a class)."""


class RawData(NamedTuple):
    """A data set before checks.

    Attributes:
        x_train: Features, shape (num_train, ...).
        y_train: Labels, shape (num_train,).
        x_test: Features, shape (num_test, ...).
        y_test: Labels, shape (num_test,).
        groups: Owner of each training sample, shape (num_train,), or None.
        max_value: Largest value of integer features; None means the largest of their dtype.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    groups: np.ndarray | None = None
    max_value: float | None = None


def check_raw(raw: RawData, source: str) -> RawData:
    """Check shapes and labels and make the labels int32.

    Args:
        raw: Arrays as found.
        source: The file or data set, for messages.

    Returns:
        The same arrays with int32 labels >= 0 and integer groups as int64.

    Raises:
        DataError: Parts are empty, disagree in length or feature shape, or labels are no classes.
    """
    if raw.x_train.shape[1:] != raw.x_test.shape[1:]:
        raise DataError(
            f"{source}: x_train has samples of shape {raw.x_train.shape[1:]}, x_test of shape "
            f"{raw.x_test.shape[1:]}; make them equal"
        )
    return raw._replace(
        y_train=_check_part(raw.x_train, raw.y_train, source, "train"),
        y_test=_check_part(raw.x_test, raw.y_test, source, "test"),
        groups=_check_groups(raw, source),
    )


def select(
    raw: RawData, source: str, classes: tuple[int, ...], max_train: int, max_test: int
) -> RawData:
    """Keep some classes, relabelled 0, 1, ... in the order given, then the first samples.

    Args:
        raw: Checked arrays.
        source: The file or data set, for messages.
        classes: Labels to keep; empty keeps all, as they are.
        max_train: Keep the first so many training samples of these classes; 0 keeps all.
        max_test: The same for the test part.

    Raises:
        DataError: A class is unknown or named twice, a limit is negative, or nothing is left.
    """
    if max_train < 0 or max_test < 0:
        raise DataError(
            f"max_train and max_test must be 0 (all) or more, got {max_train} and {max_test}"
        )
    if classes:
        _check_classes(raw.y_train, classes, source)
        raw = _filter(raw, classes)
    if not len(raw.y_test):
        raise DataError(f"{source}: no test sample has a label in {classes}; ask for others")
    groups = None if raw.groups is None else raw.groups[: max_train or None]
    return raw._replace(
        x_train=raw.x_train[: max_train or None],
        y_train=raw.y_train[: max_train or None],
        x_test=raw.x_test[: max_test or None],
        y_test=raw.y_test[: max_test or None],
        groups=groups,
    )


def merge_classes(raw: RawData, source: str, merge: tuple[tuple[int, int], ...]) -> RawData:
    """Let samples of some classes count as others; numbers left without samples stay unused.

    Args:
        raw: Checked arrays.
        source: The file or data set, for messages.
        merge: Pairs (a, b): class a becomes class b, one pair after the other.

    Raises:
        DataError: A class is not among the training samples.
    """
    for pair in merge:
        _check_classes(raw.y_train, tuple(dict.fromkeys(pair)), source)
        train, test = (
            np.where(y == pair[0], np.int32(pair[1]), y) for y in (raw.y_train, raw.y_test)
        )
        raw = raw._replace(y_train=train, y_test=test)
    return raw


def count_classes(raw: RawData, source: str) -> int:
    """Return largest label + 1 over both parts.

    Raises:
        DataError: A label is too large to be a class.
    """
    largest = int(max(raw.y_train.max(), raw.y_test.max()))
    if largest >= MAX_CLASSES:
        raise DataError(
            f"{source}: largest label is {largest}; number the classes 0, 1, ... or choose some "
            "with `classes`"
        )
    return largest + 1


def scale_features(
    x: Shaped[np.ndarray, "samples ..."],
    max_value: float | None = None,
    source: str = "x",
) -> Float32[np.ndarray, "samples ..."]:
    """Return features as C-ordered float32, integer ones scaled to [0, 1].

    Args:
        x: Features, shape (samples, ...): unsigned integers, booleans or floats.
        max_value: What becomes 1 for integers; None means the largest value of the dtype (255 for
            uint8). Floats are never scaled.
        source: Where the features come from, for messages.

    Returns:
        Finite features, same shape.

    Raises:
        DataError: Another dtype (how to scale it is a guess), or NaN or infinite features.
    """
    kind = x.dtype.kind
    if kind == "u":
        largest = np.float32(np.iinfo(x.dtype).max if max_value is None else max_value)
        fractions = np.empty(x.shape, np.float32)
        np.divide(x, largest, out=fractions)
        return fractions
    if kind == "b":
        return np.ascontiguousarray(x, dtype=np.float32)
    if kind != "f":
        raise DataError(f"{source} has dtype {x.dtype}; store it as uint8 or float32")
    with np.errstate(over="ignore"):
        scaled = np.ascontiguousarray(x, dtype=np.float32)
    finite = np.isfinite(scaled)
    if not finite.all():
        bad = int(np.flatnonzero(~finite.reshape(len(x), -1).all(axis=1))[0])
        raise DataError(
            f"{source}[{bad}] holds NaN, infinite or beyond float32 features; clean or drop it"
        )
    return scaled


def _check_part(
    x: Shaped[np.ndarray, "..."], y: Shaped[np.ndarray, "..."], source: str, part: str
) -> Int32[np.ndarray, " samples"]:
    if x.ndim < 2 or x.size == 0:
        raise DataError(
            f"{source}: x_{part} has shape {x.shape}; it must be (samples, features...), not empty"
        )
    if y.shape != (len(x),):
        raise DataError(
            f"{source}: y_{part} has shape {y.shape} for {len(x)} samples of x_{part}; "
            f"it must be ({len(x)},)"
        )
    return _as_labels(y, f"{source}: y_{part}")


def _as_labels(y: Shaped[np.ndarray, " samples"], name: str) -> Int32[np.ndarray, " samples"]:
    if y.dtype.kind not in "biuf":
        raise DataError(f"{name} has dtype {y.dtype}; labels must be integers 0, 1, ...")
    if y.dtype.kind == "f" and not bool(np.all(y == np.floor(y))):
        raise DataError(f"{name} holds {y[y != np.floor(y)][0]}; labels must be integers 0, 1, ...")
    low, high = y.min(), y.max()
    if low < 0 or high >= 2**31:
        raise DataError(
            f"{name} holds the label {low if low < 0 else high}; labels must be integers 0, 1, ..."
        )
    return y.astype(np.int32)


def _check_groups(raw: RawData, source: str) -> Shaped[np.ndarray, " train"] | None:
    groups = raw.groups
    if groups is None:
        return None
    if groups.shape != (len(raw.x_train),) or groups.dtype.kind not in "biuUS":
        raise DataError(
            f"{source}: group ids have shape {groups.shape} and dtype {groups.dtype}; give one "
            f"integer or string for each of the {len(raw.x_train)} training samples"
        )
    return groups.astype(np.int64) if groups.dtype.kind in "biu" else groups


def _check_classes(
    labels: Int32[np.ndarray, " samples"], classes: tuple[int, ...], source: str
) -> None:
    if len(set(classes)) < len(classes):
        raise DataError(f"classes {classes} name a class twice; name each once")
    present = np.unique(labels).tolist()
    unknown = [c for c in classes if c not in present]
    if unknown:
        shown = ", ".join(map(str, present[:20])) + (", ..." if len(present) > 20 else "")
        raise DataError(f"{source}: no class {unknown[0]}; the classes present are {shown}")


def _filter(raw: RawData, classes: tuple[int, ...]) -> RawData:
    train, y_train = _relabel(raw.y_train, classes)
    test, y_test = _relabel(raw.y_test, classes)
    groups = None if raw.groups is None else raw.groups[train]
    return raw._replace(
        x_train=raw.x_train[train],
        y_train=y_train,
        x_test=raw.x_test[test],
        y_test=y_test,
        groups=groups,
    )


def _relabel(
    labels: Int32[np.ndarray, " samples"], classes: tuple[int, ...]
) -> tuple[Bool[np.ndarray, " samples"], Int32[np.ndarray, " kept"]]:
    """Return which samples to keep, and the new labels of those."""
    new = np.full(len(labels), -1, np.int32)
    for position, label in enumerate(classes):
        new[labels == label] = position
    keep = new >= 0
    return keep, new[keep]
