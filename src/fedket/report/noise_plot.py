"""The figure of accuracy and gradient against the strength of noise."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure

from fedket.experiment.noise_study import NoisePoint
from fedket.report.drawing import SERIES, STYLE
from fedket.report.rate_plot import METADATA

_LINES = {"exact": (SERIES[0], "-", None), "trajectories": (SERIES[1], "--", "o")}
"""Method -> colour, line, marker."""


def plot_noise(points: Sequence[NoisePoint], path: Path) -> None:
    """Draw test accuracy and gradient norm, each against strength; the same data, the same file."""
    page = {"figure.facecolor": "white", "legend.frameon": False}
    with matplotlib.style.context(STYLE | page, after_reset=True):
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        for method, (colour, line, marker) in _LINES.items():
            kept = [point for point in points if point.method == method]
            if not kept:
                continue
            strengths = [point.strength for point in kept]
            look = {"color": colour, "linestyle": line, "marker": marker, "label": method}
            left.plot(strengths, [100 * point.test_accuracy for point in kept], **look)
            right.plot(strengths, [point.gradient_norm for point in kept], **look)
        left.set_ylabel("test accuracy in %")
        right.set_ylabel("norm of the gradient")
        for axes in (left, right):
            axes.set_xlabel("strength of the noise, times the run's")
        left.legend()
        figure.savefig(path, dpi=150, metadata=METADATA.get(path.suffix))
