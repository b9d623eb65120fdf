"""The page of a consortium's statistics: classes, columns, and how values are spread."""

from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from fedket.files import write_atomic
from fedket.report import html
from fedket.report.drawing import SERIES, draw
from fedket.report.wording import count, plural
from fedket.statistics.pooled import Column, Statistics

MOST_DRAWN = 24
"""Columns whose values are drawn."""

HEADINGS = ("column", "values", "missing", "mean", "deviation", "5 %", "median", "95 %")


def write_statistics_page(found: Statistics, path: Path) -> None:
    """Write the page; the same statistics, the same file."""
    drawn = [column for column in found.columns if column.bins][:MOST_DRAWN]
    shapes = [
        draw(f"column-{i}", column.name, partial(_paint_column, column=column), downloads=True)
        for i, column in enumerate(drawn)
    ]
    if any(found.labels):
        classes = partial(_paint_classes, found=found)
        shapes.insert(0, draw("classes", "Samples of each class", classes, downloads=True))
    head = html.facts([("sites", found.sites), ("samples", few(found.samples, found.smallest))])
    rows = [row(column, found.smallest) for column in found.columns]
    parts = [
        html.header("Statistics before training", found.name, "", head),
        html.section("Columns", html.card(html.table(HEADINGS, rows))),
        html.section("Spread", html.figures(shapes)) if shapes else "",
        html.footer(note(found)),
    ]
    write_atomic(path, html.page(f"{found.name}: statistics", parts))


def note(found: Statistics) -> str:
    """What the numbers are, and are not."""
    return (
        f"Sums over {plural(found.sites, 'site')}, masked: the server saw no site's own. Counts "
        f"below {found.smallest} are not told; quantiles are the middle of a bin that holds them."
    )


def few(number: int | None, smallest: int) -> str:
    """A count in words, told or not."""
    return f"not told (< {smallest})" if number is None else count(number)


def class_rows(found: Statistics) -> list[tuple[str, str]]:
    """Classes and how many samples each has."""
    names = found.class_names or tuple(str(label) for label in range(len(found.labels)))
    told = [few(number, found.smallest) for number in found.labels]
    return list(zip(names, told, strict=True))


def row(column: Column, smallest: int) -> tuple[str, ...]:
    """A column's line in a table, under `HEADINGS`."""
    middles = [_middle(column, q) for q in ("0.05", "0.5", "0.95")]
    numbers = (column.mean, column.deviation, *middles)
    shown = ["not told" if number is None else f"{number:.5g}" for number in numbers]
    return (column.name, few(column.values, smallest), few(column.missing, smallest), *shown)


def _middle(column: Column, q: str) -> float | None:
    return sum(column.quantiles[q]) / 2 if q in column.quantiles else None


def _paint_classes(ax: Axes, found: Statistics) -> str:
    rows = class_rows(found)
    heights = [number or 0 for number in found.labels]
    ax.bar(range(len(rows)), heights, color=SERIES[0], width=0.7)
    if len(rows) <= MOST_DRAWN:
        ax.set_xticks(range(len(rows)), [name for name, _ in rows])
    ax.set_title("samples")
    hidden = sum(number is None for number in found.labels)
    rest = (
        f" {plural(hidden, 'class')} with a count that is not told have no bar." if hidden else ""
    )
    return f"Samples of all {plural(found.sites, 'site')} by class.{rest}"


def _paint_column(ax: Axes, column: Column) -> str:
    edges, bins = np.array(column.edges), np.array(column.bins)
    ax.stairs(bins / np.diff(edges) / bins.sum(), edges, fill=True, color=SERIES[0], alpha=0.75)
    if column.mean is not None:
        ax.axvline(column.mean, color=SERIES[1])
    ax.set_title("share of the values, per unit")
    return "Bins of about as many values each, none with few; the line is the mean."
