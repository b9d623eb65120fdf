"""The figure of the variance of gradients against the number of qubits."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from fedket.report.drawing import SERIES, STYLE
from fedket.report.rate_plot import METADATA

_MARKERS = "os^Dv"


def plot_plateau(points: Sequence[tuple[int, int, float, float]], title: str, path: Path) -> None:
    """Draw variances on a logarithmic axis, a line for each depth; the same data, the same file.

    Args:
        points: (qubits, layers, variance, its standard error); variances of 0 are left out.
        title: Circuit, observable and draws.
        path: Of a kind that `check_plot_file` takes.
    """
    page = {"figure.facecolor": "white", "legend.frameon": False}
    with matplotlib.style.context(STYLE | page, after_reset=True):
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        axes.set_yscale("log")
        for number, depth in enumerate(dict.fromkeys(point[1] for point in points)):
            kept = sorted(p for p in points if p[1] == depth and p[2] > 0)
            if not kept:
                continue
            axes.errorbar(
                [point[0] for point in kept],
                [point[2] for point in kept],
                [point[3] for point in kept],
                color=SERIES[number % len(SERIES)],
                marker=_MARKERS[number % len(_MARKERS)],
                capsize=3,
                label=f"{depth} layer{'s' if depth > 1 else ''}",
            )
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("qubits")
        axes.set_ylabel("variance of the gradient")
        axes.set_title(title)
        if axes.containers:
            axes.legend()
        figure.savefig(path, dpi=150, metadata=METADATA.get(path.suffix))
