"""One site's samples as integers whose sum over sites says what all samples are like.

A *column* is a feature of a table, or all pixels of images together. Per column, in this order:

    missing | sum, 3 limbs | squares, 4 limbs | values in each of the EDGES + 1 bins

after the number of samples of each class. A value v counts in bin b of increasing edges e with
e[b-1] <= v < e[b]; the outer two bins have no end. Sums are of fixed-point numbers

    z = round(2^24 (min(max(v, e[0]), e[-1]) - e[0]) / (e[-1] - e[0])),

so they are exact integers, and the mean is off by (e[-1] - e[0]) / 2^25 at most. A limb is 20 bits
of a site's sum, so that the sum over up to 2,047 sites fits a word of 32 bits.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from fedket.errors import DataError

EDGES = 62
"""Edges of a column's bins."""

FRACTION_BITS = 24
LIMB_BITS = 20
SUM_LIMBS, SQUARE_LIMBS = 3, 4
HEAD = 1 + SUM_LIMBS + SQUARE_LIMBS
"""Words of a column before its bins."""

MAX_COLUMNS = 1024
"""A table with more features is taken as one column, like images."""

BLOCK = 2**20
"""Values that are worked on at once."""


class Layout(NamedTuple):
    """What the words of a tally stand for; the same at all sites.

    Attributes:
        num_classes: Classes; 0 where labels are numbers, which are then the last column.
        columns: Columns.
        per_sample: Values of a sample in each column.
    """

    num_classes: int
    columns: int
    per_sample: int

    @property
    def features(self) -> int:
        """Columns that are no numbers to predict."""
        return self.columns if self.num_classes else self.columns - 1

    @property
    def num_words(self) -> int:
        """Integers of a tally."""
        return self.num_classes + self.columns * (HEAD + EDGES + 1)


class Grid(NamedTuple):
    """What the server asks for in a round, public.

    Attributes:
        edges: Increasing edges of each column's bins, shape (columns, EDGES).
        counted: Whether labels and missing values are counted.
        measured: Whether values are summed, within the outer edges.
    """

    edges: Float64[np.ndarray, "columns edges"]
    counted: bool
    measured: bool


class Tally(NamedTuple):
    """A sum of tallies.

    Attributes:
        labels: Samples of each class, shape (num_classes,).
        missing: Values that are not finite, shape (columns,).
        sums: Of z, by column.
        squares: Of z squared, by column.
        bins: Values in each bin, shape (columns, EDGES + 1).
    """

    labels: Int64[np.ndarray, " classes"]
    missing: Int64[np.ndarray, " columns"]
    sums: list[int]
    squares: list[int]
    bins: Int64[np.ndarray, "columns bins"]


def layout_of(sample: tuple[int, ...], num_classes: int, regression: bool = False) -> Layout:
    """Return the layout for samples of a shape."""
    classes, extra = (0, 1) if regression else (num_classes, 0)
    if len(sample) == 1 and sample[0] <= MAX_COLUMNS:
        return Layout(classes, sample[0] + extra, 1)
    if regression:
        raise DataError(
            f"numbers to predict from samples of shape {sample}: statistics of a regression are of "
            f"tables with at most {MAX_COLUMNS} features"
        )
    return Layout(classes, 1, math.prod(sample))


def tally(x: np.ndarray, y: np.ndarray, layout: Layout, grid: Grid) -> Int64[np.ndarray, " words"]:
    """Return one site's integers.

    Args:
        x: Features, shape (samples, ...).
        y: Labels, or numbers, shape (samples,).
        layout: Of all sites.
        grid: What the server asks for.
    """
    labels = np.zeros(layout.num_classes, np.int64)
    features = x.reshape(len(x), math.prod(x.shape[1:]))
    if not layout.num_classes:
        features = np.column_stack([features, y])
    elif grid.counted:
        labels += np.bincount(y, minlength=layout.num_classes)
    values = features.reshape(-1, layout.columns)
    parts = [_column(values[:, j], edges, grid) for j, edges in enumerate(grid.edges)]
    return np.concatenate([labels, *parts])


def read_tally(words: Int64[np.ndarray, " words"], layout: Layout) -> Tally:
    """Return what a sum of `tally` says."""
    rows = words[layout.num_classes :].reshape(layout.columns, -1)
    ends = np.cumsum([1, SUM_LIMBS, SQUARE_LIMBS])
    missing, sums, squares, bins = np.split(rows, ends, axis=1)
    labels = words[: layout.num_classes]
    return Tally(labels, missing[:, 0], _whole(sums), _whole(squares), bins)


def _column(values: np.ndarray, edges: np.ndarray, grid: Grid) -> Int64[np.ndarray, " words"]:
    low, high = edges[0], edges[-1]
    missing = total = squares = 0
    bins = np.zeros(EDGES + 1, np.int64)
    for start in range(0, len(values), BLOCK):
        block = values[start : start + BLOCK].astype(np.float64)
        finite = block[np.isfinite(block)]
        missing += len(block) - len(finite)
        bins += np.bincount(np.searchsorted(edges, finite, side="right"), minlength=EDGES + 1)
        if grid.measured:
            parts = (np.clip(finite, low, high) - low) / (high - low)
            z = np.rint(parts * 2.0**FRACTION_BITS).astype(np.int64)
            upper, lower = z >> 12, z & 0xFFF  # squares of z would not fit
            total += int(z.sum())
            squares += (int(upper @ upper) << 24) + (int(upper @ lower) << 13) + int(lower @ lower)
    words = [missing if grid.counted else 0, *_limbs(total, SUM_LIMBS)]
    return np.array([*words, *_limbs(squares, SQUARE_LIMBS), *bins], np.int64)


def _limbs(number: int, count: int) -> list[int]:
    return [(number >> LIMB_BITS * k) & ((1 << LIMB_BITS) - 1) for k in range(count)]


def _whole(limbs: np.ndarray) -> list[int]:
    return [sum(int(limb) << (LIMB_BITS * k) for k, limb in enumerate(row)) for row in limbs]
