"""A figure to take away: as SVG, PDF and PNG in the colours of a white page, its numbers as CSV.

All are data URIs in the page, so that it stays one file that loads nothing.
"""

import csv
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection, QuadMesh
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from fedket.report import html

PNG_DPI = 160
FORMATS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("pdf", "application/pdf", {"metadata": {"CreationDate": None}}),
    ("png", "image/png", {"dpi": PNG_DPI, "metadata": {"Software": None}}),
)

Row = tuple[str, float, float, float | str]
"""Series, x, y, and the value there of what has one."""


def links(figure: Figure, ax: Axes, name: str, svg: str) -> str:
    """Links to a figure's files, named after it, as HTML; `svg` has been drawn already."""
    files = [(f"{name}.svg", "image/svg+xml", svg.encode())]
    for ending, kind, options in FORMATS:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=ending, facecolor="white", **options)
        files.append((f"{name}.{ending}", kind, buffer.getvalue()))
    return html.downloads([*files, (f"{name}.csv", "text/csv", numbers(ax).encode())])


def numbers(ax: Axes) -> str:
    """What is drawn under a label, as CSV: a line per point, with the names of the axes."""
    text = io.StringIO()
    rows = list(_rows(ax))
    valued = any(row[3] != "" for row in rows)
    writer = csv.writer(text, lineterminator="\n")
    head = ("series", ax.get_xlabel() or "x", "y" if valued else ax.get_title("left") or "y")
    writer.writerow((*head, "value")[: 3 + valued])
    writer.writerows(row[: 3 + valued] for row in rows)
    return text.getvalue()


def _rows(ax: Axes) -> Iterator[Row]:
    for line in ax.lines:
        yield from _points(line.get_label(), line.get_xydata())
    for bars in ax.containers:
        if isinstance(bars, BarContainer):
            found = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in bars]
            yield from _points(bars.get_label(), found)
    for drawn in ax.collections:
        label = drawn.get_label()
        if isinstance(drawn, PathCollection):
            yield from _points(label, drawn.get_offsets(), drawn.get_array())
        elif isinstance(drawn, QuadMesh):
            values = np.asarray(drawn.get_array())
            y, x = np.indices(values.shape)
            places = np.stack([x.ravel(), y.ravel()], axis=1)
            yield from _points(label, places, values.ravel())
        elif isinstance(drawn, PolyCollection):  # of fill_between: there along low, back along high
            corners = np.asarray(drawn.get_paths()[0].vertices)
            length = (len(corners) - 3) // 2
            yield from _points(f"{label}, low", corners[1 : length + 1])
            yield from _points(f"{label}, high", corners[-2 : -length - 2 : -1])


def _points(label: object, places: Any, values: Any = None) -> Iterator[Row]:
    """Nothing for what matplotlib labels itself, with an underscore."""
    if str(label).startswith("_"):
        return
    for place, (x, y) in enumerate(np.asarray(places, float).tolist()):
        yield str(label), x, y, "" if values is None else float(values[place])
