"""From a painter of one axes to an inline SVG that belongs to the page.

A painter is a function of a matplotlib `Axes`. The drawing takes its font and colours from the
page (dark mode and print come from the style sheet, colours become CSS variables), its ids are
its own, and the same data give the same bytes. Figures are drawn for a column of 340 to 560 px.
"""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from html import escape
from statistics import fmean
from typing import NamedTuple

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from fedket.errors import printable
from fedket.report import html
from fedket.report.downloads import links

Painter = Callable[[Axes], str]
"""Draws on the axes; returns the caption, a sentence or two: what to see, how it was measured."""

INK = "#1b2430"
MUTED = "#5c6777"
GRID = "#d8dee6"
SERIES = (
    "#1f66ad",
    "#c4520a",
    "#0a8266",
    "#8a4ba8",
    "#8f6f00",
    "#b42f63",
    "#2279a8",
    "#69707c",
)
"""Told apart by colour-blind readers and in grey print; `page.css` has the dark variants."""
DASHES: tuple[tuple[int, tuple[float, ...]], ...] = ((0, ()), (0, (5, 1.6)), (0, (1.5, 1.5)))

WIDTH_INCHES = 4.7
HEIGHT_INCHES = 2.75
FONT_POINTS = 9.5
LINE_SPACING = 1.25
MAX_POINTS = 1000

_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid"} | {
    colour: f"series-{number}" for number, colour in enumerate(SERIES)
}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fedket",
    "text.parse_math": False,
    "font.size": FONT_POINTS,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": FONT_POINTS,
    "axes.titlecolor": MUTED,
    "axes.titlepad": 7,
    "axes.labelcolor": MUTED,
    "axes.labelsize": FONT_POINTS,
    "axes.xmargin": 0.02,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.9,
    "lines.solid_capstyle": "round",
    "lines.markersize": 4,
    "text.color": INK,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
}


class EndLabel(NamedTuple):
    """A direct label right of the axes, at the height of the line it names.

    Attributes:
        value: Where the line ends, in data units.
        text: What to write.
        colour: Colour of the line.
        end: Where the line ends along x, if it may end before the axes do: draws a leader.
    """

    value: float
    text: str
    colour: str
    end: float | None = None


def draw(
    name: str,
    title: str,
    paint: Painter,
    height: float = HEIGHT_INCHES,
    *,
    downloads: bool = False,
) -> str:
    """One figure with title and caption as HTML.

    Args:
        name: Unique on the page; prefix of all ids.
        title: Above the figure.
        paint: The figure; its caption is also read out to those who do not see it.
        height: Inches.
        downloads: Whether it can be saved from the page, see `fedket.report.downloads`.
    """
    with matplotlib.style.context(STYLE, after_reset=True), warnings.catch_warnings():
        # The browser draws the text, so a letter missing from matplotlib's font is no problem.
        warnings.filterwarnings("ignore", message="Glyph")
        figure = Figure(figsize=(WIDTH_INCHES, height))
        ax = figure.subplots()
        caption = paint(ax)
        ConstrainedLayoutEngine().execute(figure)  # `savefig` would draw everything twice for it
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        files = links(figure, ax, name, buffer.getvalue()) if downloads else ""
    return html.figure(title, _inline(buffer.getvalue(), name, caption), caption, files)


def _inline(svg: str, name: str, description: str) -> str:
    view_box = re.search(r'viewBox="[^"]*"', svg)
    body = svg[svg.index("<g") : svg.rindex("</svg>")]
    for pattern, replacement in _CLEANINGS:
        body = pattern.sub(replacement, body)
    body = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path.group()), body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    box = view_box.group() if view_box else ""
    label = escape(printable(description))
    return f'<svg {box} role="img" aria-label="{label}">{_own_ids(body, name)}</svg>'


_CLEANINGS = (
    (re.compile(r" font-family: [^;\"]*;?"), ""),
    (re.compile(r' transform="rotate\(-?0 [^"]*\)"'), ""),
    (re.compile(r"\s*\n\s*"), " "),
)


def _own_ids(body: str, name: str) -> str:
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', body))

    def rename(match: re.Match[str]) -> str:
        return f' id="{name}-{match.group(1)}"' if match.group(1) in used else ""

    body = re.sub(r' id="([^"]*)"', rename, body)
    return re.sub(r'(href="|url\()#', rf"\1#{name}-", body)


def thin(length: int) -> np.ndarray:
    """Indices of at most `MAX_POINTS` evenly spread points, first and last included."""
    return np.unique(np.linspace(0, length - 1, min(length, MAX_POINTS)).astype(int))


def round_axis(ax: Axes, last_round: int) -> None:
    """Label the horizontal axis in rounds, from 0 to the last one."""
    ax.set_xlabel("round", loc="right")
    ax.set_xlim(0, last_round)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def plain_log_ticks(axis: Axis) -> None:
    """Put a few plain numbers on a logarithmic axis."""
    low, high = axis.get_view_interval()
    steps = (1.0, 2.0, 5.0) if high < 1000 * low else (1.0,)
    axis.set_major_locator(LogLocator(subs=steps, numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def label_ends(ax: Axes, labels: Sequence[EndLabel]) -> None:
    """Write direct labels right of the axes, as near to their values as they fit."""
    heights = [_height_in_axes(ax, label.value) for label in labels]
    row = LINE_SPACING * FONT_POINTS / 72 * ax.figure.dpi / ax.bbox.height
    for label, height in zip(labels, spread(heights, row), strict=True):
        ax.text(
            1.02,
            float(height),
            label.text,
            color=label.colour,
            transform=ax.transAxes,
            va="center_baseline",
        )
        if label.end is not None:
            _lead(ax, label.end, label, float(height))


def _lead(ax: Axes, end: float, label: EndLabel, height: float) -> None:
    ax.plot([end], [label.value], "o", color=label.colour, markersize=3.2, clip_on=False)
    ax.annotate(
        "",
        xy=(end, label.value),
        xytext=(1.012, height),
        textcoords="axes fraction",
        arrowprops={
            "arrowstyle": "-",
            "color": label.colour,
            "linewidth": 0.7,
            "alpha": 0.6,
            "shrinkA": 0,
            "shrinkB": 3,
        },
    )


def _height_in_axes(ax: Axes, value: float) -> float:
    display = ax.transData.transform((0.0 if ax.get_xscale() == "linear" else 1.0, value))
    return float(np.clip(ax.transAxes.inverted().transform(display)[1], 0.04, 1))


def spread(heights: Sequence[float], gap: float) -> np.ndarray:
    """Least-squares shift of heights in 0..1 that keeps their order and at least `gap` between.

    With more heights than fit, the gap shrinks to what fits.
    """
    order = np.argsort(heights, kind="stable")
    gap = min(gap, 1 / max(len(heights) - 1, 1))
    steps = gap * np.arange(len(heights))
    shifted = _ascending(np.asarray(heights)[order] - steps)
    placed = np.empty(len(heights))
    placed[order] = np.clip(shifted, 0, max(1 - gap * (len(heights) - 1), 0)) + steps
    return placed


def _ascending(values: np.ndarray) -> np.ndarray:
    """Nearest ascending values in least squares: neighbours out of order share their mean.

    SciPy's `isotonic_regression` does the same, but takes 0.3 s to import.
    """
    pools: list[list[float]] = []
    for value in values:
        pool = [value]
        while pools and fmean(pools[-1]) > fmean(pool):
            pool = pools.pop() + pool
        pools.append(pool)
    return np.array([fmean(pool) for pool in pools for _ in pool])
