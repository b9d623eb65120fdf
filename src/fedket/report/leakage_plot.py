"""The figure of what a server reads out of sums, against their size and their noise."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedket.experiment.leakage_study import MASKED, LeakagePoint
from fedket.report.drawing import SERIES, STYLE
from fedket.report.rate_plot import METADATA

_LABELS = {
    "correlation": "correlation with the samples",
    "identified": "samples identified",
    "membership_auc": "membership AUC",
}


def plot_leakage(points: Sequence[LeakagePoint], path: Path) -> None:
    """Draw the three numbers, against clients in a sum and against ε; chance is dotted."""
    noised = any(point.noise_multiplier for point in points)
    page = {"figure.facecolor": "white", "legend.frameon": False}
    with matplotlib.style.context(STYLE | page, after_reset=True):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        panels = figure.subplots(1, 1 + noised, sharey=True, squeeze=False)[0]
        paint_sums(panels[0], [points])
        if noised:
            paint_noise(panels[1], [points])
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
        figure.savefig(path, dpi=150, metadata=METADATA.get(path.suffix))


def paint_sums(axes: Axes, runs: Sequence[Sequence[LeakagePoint]]) -> None:
    """The three numbers against clients in a sum: of runs with other seeds, mean and deviation."""
    plain = [[p for p in run if p.view != MASKED and not p.noise_multiplier] for run in runs]
    _paint(axes, plain, [point.clients for point in plain[0]])
    masked = [[point for point in run if point.view == MASKED] for run in runs]
    for name, colour in zip(_LABELS, SERIES, strict=False):
        axes.plot(1, _values(masked, name).mean(), color=colour, marker="x")
    axes.set_xlabel("clients in a sum (×: one, masked)")


def paint_noise(axes: Axes, runs: Sequence[Sequence[LeakagePoint]]) -> None:
    """The same against ε of all rounds, for the sums that have noise."""
    noised = [[point for point in run if point.noise_multiplier] for run in runs]
    _paint(axes, noised, [point.epsilon or 0.0 for point in noised[0]])
    axes.set_xlabel(f"ε of all rounds, {noised[0][0].name} (simulated)")


def _paint(axes: Axes, runs: Sequence[Sequence[LeakagePoint]], x: Sequence[float]) -> None:
    for (name, label), colour in zip(_LABELS.items(), SERIES, strict=False):
        values = _values(runs, name)
        spread = values.std(axis=0, ddof=1) if len(runs) > 1 else None
        mean = values.mean(axis=0)
        axes.errorbar(x, mean, spread, color=colour, marker="o", capsize=3, label=label)
        chance = np.full(len(x), 0.5)
        if name != "membership_auc":
            chance = _values(runs, f"chance_{name}").mean(axis=0)
        axes.plot(x, chance, color=colour, linestyle=":")
    axes.set_xscale("log")
    axes.set_xticks(x, [f"{v:.3g}" if v < 1e3 else f"{v:,.0f}" for v in x])
    axes.minorticks_off()


def _values(runs: Sequence[Sequence[LeakagePoint]], name: str) -> np.ndarray:
    """A number of each point, shape (runs, points)."""
    return np.array([[getattr(point, name) for point in run] for run in runs], float)
