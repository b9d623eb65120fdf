"""Arrays as a file holds them, then checked and cut to what was asked for.

Features keep their stored dtype here, so that checks and selection touch as little memory as
possible; `scale_features` makes them float32 at the end.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Shaped

from fedket.data.labels import MAX_CLASSES, as_labels, as_numbers
from fedket.data.scale import channels_last
from fedket.errors import DataError

Part = tuple[np.ndarray, np.ndarray]
"""Features and labels."""


class RawData(NamedTuple):
    """A data set before checks.

    Attributes:
        x_train: Features, shape (num_train, ...).
        y_train: Labels, shape (num_train,).
        x_test: Features, shape (num_test, ...).
        y_test: Labels, shape (num_test,).
        groups: Owner of each training sample, shape (num_train,), or None.
        max_value: Largest value of integer features; None means the largest of their dtype.
        x_val: Features of the source's own validation part; None without one.
        y_val: Its labels.
        class_names: What labels 0, 1, ... stand for; empty if they say it themselves.
        notes: What was left out or changed in reading, a sentence each.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    groups: np.ndarray | None = None
    max_value: float | None = None
    x_val: np.ndarray | None = None
    y_val: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[str, Part]:
        """Features and labels of the parts that there are: train, test, val."""
        parts = {"train": (self.x_train, self.y_train), "test": (self.x_test, self.y_test)}
        if self.x_val is not None and self.y_val is not None:
            parts["val"] = self.x_val, self.y_val
        return parts

    def changed(self, change: Callable[[str, np.ndarray, np.ndarray], Part]) -> "RawData":
        """With every part as `change(name, x, y)` makes it."""
        arrays: dict[str, Any] = {}
        for part, xy in self.parts.items():
            arrays[f"x_{part}"], arrays[f"y_{part}"] = change(part, *xy)
        return self._replace(**arrays)


def check_raw(
    raw: RawData, source: str, prepared: bool = False, regression: bool = False
) -> RawData:
    """Check shapes and labels, make the labels int32 and put images' channels last.

    Args:
        raw: Arrays as found.
        source: The file or data set, for messages.
        prepared: Whether features are as models take them, so that their axes stay.
        regression: Whether labels are numbers to predict, which become float32.

    Returns:
        The same arrays with int32 labels >= 0 and integer groups as int64.

    Raises:
        DataError: Parts are empty, disagree in length or feature shape, or labels are no classes.
    """
    notes: dict[str, None] = {}
    for part, (x, _) in raw.parts.items():
        if x.shape[1:] != raw.x_train.shape[1:]:
            raise DataError(
                f"{source}: x_train has samples of shape {raw.x_train.shape[1:]}, x_{part} of "
                f"shape {x.shape[1:]}; make them equal"
            )

    def checked(part: str, x: np.ndarray, y: np.ndarray) -> Part:
        if x.ndim < 2 or x.size == 0:
            raise DataError(
                f"{source}: x_{part} has shape {x.shape}; it must be (samples, features...), not "
                "empty"
            )
        about = y, len(x), f"{source}: y_{part}"
        labels, note = (as_numbers(*about), "") if regression else as_labels(*about)
        notes.update({note: None} if note else {})
        turned = None if prepared else channels_last(x)
        if turned is None:
            return x, labels
        said = f"{source}: images of shape {x.shape[1:]} were turned to {turned.shape[1:]}"
        notes.update({f"{said}: channels come last": None})
        return turned, labels

    groups = _check_groups(raw, source)
    raw = raw.changed(checked)
    return raw._replace(groups=groups, notes=(*raw.notes, *notes))


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
    most = {"train": max_train or None, "test": max_test or None}
    groups = None if raw.groups is None else raw.groups[: most["train"]]
    cut = raw.changed(lambda part, x, y: (x[: most.get(part)], y[: most.get(part)]))
    return cut._replace(groups=groups)


def merge_classes(raw: RawData, source: str, merge: tuple[tuple[int, int], ...]) -> RawData:
    """Let samples of some classes count as others; numbers left without samples stay unused.

    Args:
        raw: Checked arrays.
        source: The file or data set, for messages.
        merge: Pairs (a, b): class a becomes class b, one pair after the other.

    Raises:
        DataError: A class is not among the training samples.
    """
    for old, new in merge:
        _check_classes(raw.y_train, tuple(dict.fromkeys((old, new))), source)
        raw = raw.changed(
            lambda _, x, y, old=old, new=new: (x, np.where(y == old, np.int32(new), y))  # type: ignore[misc]
        )
    return raw


def count_classes(raw: RawData, source: str) -> int:
    """Return largest label + 1 over all parts; 1 for a regression.

    Raises:
        DataError: A label is too large to be a class.
    """
    if raw.y_train.dtype.kind == "f":
        return 1
    largest = max(int(y.max(initial=0)) for _, y in raw.parts.values())
    if largest >= MAX_CLASSES:
        raise DataError(
            f"{source}: largest label is {largest}; number the classes 0, 1, ... or choose some "
            "with `classes`"
        )
    return largest + 1


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
    groups = None if raw.groups is None else raw.groups[_relabel(raw.y_train, classes)[0]]

    def kept(_: str, x: np.ndarray, y: np.ndarray) -> Part:
        keep, labels = _relabel(y, classes)
        return x[keep], labels

    names = tuple(raw.class_names[c] if raw.class_names else str(c) for c in classes)
    return raw.changed(kept)._replace(groups=groups, class_names=names)


def _relabel(
    labels: Int32[np.ndarray, " samples"], classes: tuple[int, ...]
) -> tuple[Bool[np.ndarray, " samples"], Int32[np.ndarray, " kept"]]:
    """Return which samples to keep, and the new labels of those."""
    new = np.full(len(labels), -1, np.int32)
    for position, label in enumerate(classes):
        new[labels == label] = position
    keep = new >= 0
    return keep, new[keep]
