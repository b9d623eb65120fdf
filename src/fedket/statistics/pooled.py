"""What a consortium is told of all samples: nothing that fewer than `smallest` of them make up.

A count below `smallest` is None, zero too; where the others would give it away, because their total
is known, the next larger one is None as well. Bins are joined until each has enough values.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fedket.errors import ConfigError
from fedket.statistics.tally import FRACTION_BITS, Grid, Layout, Tally

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TARGET = "target"
"""Name of the column of numbers to predict."""

SMALLEST = 5
"""Smallest count that is told."""


class Column(NamedTuple):
    """A feature of a table, or all pixels of images together; None is what is not told.

    Attributes:
        name: Its name.
        values: How many it has.
        missing: Values that are not finite; 0 is told.
        mean: Their mean; values outside the edges count as the outermost.
        deviation: Their standard deviation, √(Σ(v − mean)²/count), likewise.
        quantiles: Share of the values -> the bin (from, to) that holds the quantile.
        edges: Increasing edges of the bins.
        bins: Values in each bin; those outside the edges are in the outermost.
    """

    name: str
    values: int | None
    missing: int | None
    mean: float | None
    deviation: float | None
    quantiles: Mapping[str, tuple[float, float]]
    edges: tuple[float, ...]
    bins: tuple[int, ...]


class Statistics(NamedTuple):
    """What a consortium has.

    Attributes:
        name: Of the data.
        sites: Sites in the sums.
        samples: Their samples.
        smallest: Smallest count that is told.
        class_names: What labels 0, 1, ... stand for; empty if they say it themselves.
        labels: Samples of each class; empty where labels are numbers.
        columns: The features, and numbers to predict as the last.
    """

    name: str
    sites: int
    samples: int | None
    smallest: int
    class_names: tuple[str, ...]
    labels: tuple[int | None, ...]
    columns: tuple[Column, ...]


def standardising(found: Statistics) -> dict[str, Any]:
    """Return the transform that brings these columns to mean 0 and deviation 1; constants stay.

    Raises:
        ConfigError: The mean of a column is not told.
    """
    features = [column for column in found.columns if column.name != TARGET]
    means = [column.mean for column in features]
    if None in means:
        name = features[means.index(None)].name
        raise ConfigError(f"column {name} has fewer than {found.smallest} values; leave it out")
    deviations = [column.deviation or 1.0 for column in features]
    return {"kind": "standardise", "mean": means, "deviation": deviations}


def as_values(found: Statistics) -> dict[str, Any]:
    """Return statistics as a file holds them; `from_values` reads them back."""
    return {**found._asdict(), "columns": [column._asdict() for column in found.columns]}


def from_values(values: Mapping[str, Any]) -> Statistics:
    """Return statistics of a file, see `as_values`."""

    def listed(table: Mapping[str, Any]) -> dict[str, Any]:
        return {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}

    columns = tuple(
        Column(**listed(column) | {"quantiles": listed(column["quantiles"])})
        for column in values["columns"]
    )
    return Statistics(**listed(values) | {"columns": columns})


def summarise(
    layout: Layout,
    grid: Grid,
    counted: Tally,
    measured: Tally,
    *,
    name: str,
    sites: int,
    columns: Sequence[str] = (),
    class_names: tuple[str, ...] = (),
    smallest: int = SMALLEST,
) -> Statistics:
    """Return what is told of sums over all sites.

    Args:
        layout: What the words are.
        grid: Of the round that measured.
        counted: Of the round that counted labels and missing values.
        measured: Of the round that measured; the same if there was one only.
        name: Of the data.
        sites: How many are in the sums.
        columns: Names of the features; by default numbers from 0.
        class_names: Of the classes.
        smallest: Smallest count that is told.
    """
    numbered = ["all values"] if layout.per_sample > 1 else map(str, range(layout.features))
    names = [*(columns or numbered), *([] if layout.num_classes else [TARGET])]
    least = smallest * layout.per_sample
    made = tuple(_column(names[j], grid, counted, measured, j, least) for j in range(len(names)))
    values = int(measured.bins[0].sum() + counted.missing[0])
    samples = values // layout.per_sample if values >= least else None
    labels = told(counted.labels.tolist(), smallest)
    return Statistics(name, sites, samples, smallest, class_names, labels, made)


def told(counts: Sequence[int], least: int) -> tuple[int | None, ...]:
    """Return counts of known total without those that would say something of fewer than `least`.

    Those left out are two or more, and together `least` or more, if there is any and the others
    allow it.
    """
    hidden = {i for i, count in enumerate(counts) if count < least}
    others = sorted(set(range(len(counts))) - hidden, key=counts.__getitem__)
    while hidden and others and (len(hidden) < 2 or sum(counts[i] for i in hidden) < least):
        hidden.add(others.pop(0))
    return tuple(None if i in hidden else int(count) for i, count in enumerate(counts))


def joined(
    edges: Sequence[float], bins: Sequence[int], least: int
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return neighbouring bins joined until each has `least` values.

    Args:
        edges: Edges of the bins between the two outer ones, which have no end.
        bins: Values in each; together `least` or more.
        least: Smallest count that is told.
    """
    kept, counts, running = [float(edges[0])], list[int](), int(bins[0])
    for k, count in enumerate(bins[1:-1], start=1):
        running += int(count)
        if running >= least:
            kept.append(float(edges[k]))
            counts.append(running)
            running = 0
    running += int(bins[-1])
    if counts and (running < least or kept[-1] == edges[-1]):
        running += counts.pop()
        kept.pop()
    return (*kept, float(edges[-1])), (*counts, running)


def _column(name: str, grid: Grid, counted: Tally, measured: Tally, j: int, least: int) -> Column:
    edges, bins, missing = grid.edges[j], measured.bins[j], int(counted.missing[j])
    count = int(bins.sum())
    shown, lacking = told([count, missing], least) if missing else (count, 0)
    if count < least:
        return Column(name, None, lacking, None, None, {}, (), ())
    total, squares, unit = measured.sums[j], measured.squares[j], 2.0**FRACTION_BITS
    width = float(edges[-1] - edges[0])
    mean = float(edges[0]) + width * (total / (count * unit))
    deviation = width * math.sqrt((count * squares - total * total) / (count * unit) ** 2)
    ends, told_bins = joined(edges.tolist(), bins.tolist(), least)
    reached = np.cumsum(told_bins)
    holding = {str(q): int(np.searchsorted(reached, q * count)) for q in QUANTILES}
    quantiles = {q: (ends[b], ends[b + 1]) for q, b in holding.items()}
    return Column(name, shown, lacking, mean, deviation, quantiles, ends, told_bins)
