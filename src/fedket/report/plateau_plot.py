"""The figure of the variance of gradients against the number of qubits, or of layers."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from fedket.report.drawing import SERIES, STYLE
from fedket.report.rate_plot import METADATA

_MARKERS = "os^Dv"


def plot_plateau(points: Sequence[tuple[int, int, float, float]], title: str, path: Path) -> None:
    """Draw variances on a logarithmic axis; the same data, the same file.

    Against qubits, a line for each depth; against layers if all have as many qubits.

    Args:
        points: (qubits, layers, variance, its standard error); variances of 0 are left out.
        title: Circuit, observable and draws.
        path: Of a kind that `check_plot_file` takes.
    """
    across = int(len({point[0] for point in points}) == 1)
    unit = ("layer", "qubit")[across]
    page = {"figure.facecolor": "white", "legend.frameon": False}
    with matplotlib.style.context(STYLE | page, after_reset=True):
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        axes.set_yscale("log")
        for number, other in enumerate(dict.fromkeys(point[1 - across] for point in points)):
            kept = sorted(
                (p[across], *p[2:]) for p in points if p[1 - across] == other and p[2] > 0
            )
            if not kept:
                continue
            places, variances, errors = zip(*kept, strict=True)
            axes.errorbar(
                places,
                variances,
                errors,
                color=SERIES[number % len(SERIES)],
                marker=_MARKERS[number % len(_MARKERS)],
                capsize=3,
                label=f"{other} {unit}{'s' if other > 1 else ''}",
            )
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(("qubits", "layers")[across])
        axes.set_ylabel("variance of the gradient")
        axes.set_title(title)
        if axes.containers:
            axes.legend()
        figure.savefig(path, dpi=150, metadata=METADATA.get(path.suffix))
