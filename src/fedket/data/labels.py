"""Labels as files have them, made numbers 0, 1, ... with a sample for each."""

import numpy as np
from jaxtyping import Int32, Shaped

from fedket.errors import DataError

MAX_CLASSES = 65_536
"""Labels beyond this are taken for a mistake (an id in the place of a class)."""

SHOWN = 20
"""Labels that a message lists."""


def as_labels(
    y: Shaped[np.ndarray, "..."], samples: int, name: str
) -> tuple[Int32[np.ndarray, " samples"], str]:
    """Return labels as integers from 0, and what was done to them, in words; empty for nothing.

    Args:
        y: Labels of shape (samples,) or (samples, 1), or one-hot rows of shape (samples, classes).
        samples: How many there are to be.
        name: Whose they are, for messages.

    Raises:
        DataError: Another shape, or values that are no classes.
    """
    note = ""
    if y.shape == (samples, 1):
        y = y[:, 0]
    elif y.ndim == 2 and len(y) == samples and y.shape[1] > 1:
        y, note = _from_one_hot(y, name), f"{name} is one-hot: column i is taken for label i"
    if y.shape != (samples,):
        raise DataError(
            f"{name} has shape {y.shape} for {samples} samples; it must be ({samples},), or "
            f"({samples}, classes) of one-hot rows"
        )
    return _as_integers(y, name), note


def as_numbers(y: Shaped[np.ndarray, "..."], samples: int, name: str) -> np.ndarray:
    """Return the labels of a regression as float32, shape (samples,).

    Raises:
        DataError: Another shape, or values that are no finite numbers.
    """
    if y.size != samples or y.dtype.kind not in "biuf":
        raise DataError(
            f"{name} has shape {y.shape} and dtype {y.dtype} for {samples} samples; a regression "
            "has one number for each"
        )
    numbers = y.reshape(-1).astype(np.float32)
    if not np.isfinite(numbers).all():
        bad = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise DataError(f"{name}[{bad}] is {y.reshape(-1)[bad]}; clean or drop the sample")
    return numbers


def check_complete(train: np.ndarray, others: list[np.ndarray], source: str) -> None:
    """Refuse classes that no training sample has: they would be outputs that learn nothing.

    Raises:
        DataError: Labels do not run from 0 without a gap, or one is not among the training samples.
    """
    present = np.unique(train)
    strangers = np.setdiff1d(np.concatenate(others), present)
    advice = f"`data.classes = {_shown(present)}` keeps those that are trained on, as 0, 1, ..."
    if len(strangers):
        raise DataError(
            f"{source}: no training sample has label {strangers[0]}, a sample of another part has; "
            f"{advice}"
        )
    if len(present) <= present[-1]:
        gap = int(np.setdiff1d(np.arange(present[-1]), present)[0])
        raise DataError(
            f"{source}: labels are {_shown(present)}, no sample has label {gap}; number them from "
            f"0 without a gap: {advice}"
        )


def _shown(labels: np.ndarray) -> str:
    listed = ", ".join(map(str, labels[:SHOWN].tolist()))
    return f"[{listed}{', ...' if len(labels) > SHOWN else ''}]"


def _from_one_hot(y: Shaped[np.ndarray, "samples classes"], name: str) -> np.ndarray:
    """The column of the one that stands in each row."""
    if y.dtype.kind not in "biuf":
        raise DataError(f"{name} has dtype {y.dtype}; labels must be integers 0, 1, ...")
    ones = (y == 1).sum(axis=1)
    wrong = (ones != 1) | ((y != 0).sum(axis=1) != 1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{name} has shape {y.shape} and row {row} is not one-hot; give each sample one label, "
            f"an array of shape ({len(y)},)"
        )
    column: np.ndarray = y.argmax(axis=1)
    return column


def _as_integers(y: Shaped[np.ndarray, " samples"], name: str) -> Int32[np.ndarray, " samples"]:
    if y.dtype.kind not in "biuf":
        raise DataError(f"{name} has dtype {y.dtype}; labels must be integers 0, 1, ...")
    if y.dtype.kind == "f" and not bool(np.all(y == np.floor(y))):
        raise DataError(
            f"{name} holds {y[y != np.floor(y)][0]}; labels must be integers 0, 1, ..., or with "
            "data.regression = true numbers to predict"
        )
    low, high = y.min(), y.max()
    if low < 0 or high >= 2**31:
        raise DataError(
            f"{name} holds the label {low if low < 0 else high}; labels must be integers 0, 1, ..."
        )
    return y.astype(np.int32)
