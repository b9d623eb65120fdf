"""The figure of what a server reads out of sums, against their size and their noise."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.style
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
    """Draw the three numbers, against clients in a sum and against ε; chance is a grey line."""
    plain = [point for point in points if point.view == "sum" and not point.noise_multiplier]
    noised = [point for point in points if point.noise_multiplier]
    masked = next(point for point in points if point.view == MASKED)
    page = {"figure.facecolor": "white", "legend.frameon": False}
    with matplotlib.style.context(STYLE | page, after_reset=True):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        panels = figure.subplots(1, 2 if noised else 1, sharey=True, squeeze=False)[0]
        for (name, label), colour in zip(_LABELS.items(), SERIES, strict=False):
            look = {"color": colour, "marker": "o"}
            panels[0].plot(
                [p.clients for p in plain], [getattr(p, name) for p in plain], label=label, **look
            )
            panels[0].plot(plain[0].clients, getattr(masked, name), color=colour, marker="x")
            for axes, shown in zip(panels, (plain, noised), strict=False):
                x = [p.clients if shown is plain else p.epsilon for p in shown]
                axes.plot(x, [_by_chance(p, name) for p in shown], color=colour, linestyle=":")
            if noised:
                values = [getattr(p, name) for p in noised]
                panels[1].plot([p.epsilon for p in noised], values, **look)
        _log_axis(panels[0], [p.clients for p in plain])
        panels[0].set_xlabel("clients in a sum (×: one, masked; dotted: chance)")
        figure.legend(loc="outside upper center", ncols=len(_LABELS))
        if noised:
            _log_axis(panels[1], [p.epsilon or 0.0 for p in noised])
            panels[1].set_xlabel(f"ε of all rounds, sums of {noised[0].clients} (simulated)")
        figure.savefig(path, dpi=150, metadata=METADATA.get(path.suffix))


def _by_chance(point: LeakagePoint, name: str) -> float:
    return 0.5 if name == "membership_auc" else float(getattr(point, f"chance_{name}"))


def _log_axis(axes: Axes, values: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(
        values, [f"{value:.3g}" if value < 1e3 else f"{value:,.0f}" for value in values]
    )
    axes.minorticks_off()
