"""Figures of several runs on the same axes, each line labelled at its end.

A line is one run, or the mean over several seeds with a band from the lowest to the highest.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from fedket.report.drawing import (
    DASHES,
    FONT_POINTS,
    HEIGHT_INCHES,
    SERIES,
    EndLabel,
    label_ends,
    round_axis,
)
from fedket.report.figures import curve, log_if_wide, marker_for, percent_axis
from fedket.report.run_record import RunRecord


class Curve(NamedTuple):
    """A line to draw.

    Attributes:
        name: Its label.
        x: Rounds, or what else is on the horizontal axis, shape (points,).
        values: The metric, shape (runs, points).
    """

    name: str
    x: np.ndarray
    values: np.ndarray


def curve_of(name: str, records: Sequence[RunRecord], field: str) -> Curve:
    """A field over the rounds that all runs share; no points if there are none."""
    curves = [dict(zip(*curve(record, field), strict=True)) for record in records]
    shared = sorted(set.intersection(*(set(c) for c in curves))) if curves else []
    values = [[c[number] for number in shared] for c in curves]
    return Curve(name, np.array(shared), np.array(values).reshape(len(curves), len(shared)))


def height_for(num_curves: int) -> float:
    """Inches, so that every curve finds room for its label."""
    return max(HEIGHT_INCHES, 1.4 * FONT_POINTS / 72 * num_curves / 0.8)


def paint_accuracy(ax: Axes, curves: Sequence[Curve], caption: str, axis: str = "") -> str:
    """Test accuracy over rounds, or over what `axis` names; returns the caption."""
    labels = _paint_lines(ax, [c._replace(values=100 * c.values) for c in curves])
    percent_axis(ax)
    _finish(ax, curves, "test accuracy, %", axis)
    label_ends(ax, labels)
    return caption


def paint_loss(ax: Axes, curves: Sequence[Curve], caption: str) -> str:
    """Test loss over rounds; returns the caption."""
    labels = _paint_lines(ax, curves)
    _finish(ax, curves, "test loss")
    log_if_wide(ax)
    label_ends(ax, labels)
    return caption


def _finish(ax: Axes, curves: Sequence[Curve], title: str, axis: str = "") -> None:
    last = max(float(c.x[-1]) for c in curves if len(c.x))
    if axis:
        ax.set_xlim(0, last or 1.0)
        ax.set_xlabel(axis, loc="right")
    else:
        round_axis(ax, int(last))
    ax.set_title(title)


def _paint_lines(ax: Axes, curves: Sequence[Curve]) -> list[EndLabel]:
    labels = []
    for number, (name, x, values) in enumerate(curves):
        if not len(x):
            continue
        colour = SERIES[number % len(SERIES)]
        dash = DASHES[number // len(SERIES) % len(DASHES)]
        mean, marker = values.mean(axis=0), marker_for(len(x))
        ax.plot(x, mean, color=colour, linestyle=dash, linewidth=1.6, marker=marker, clip_on=False)
        if len(values) > 1:
            low, high = values.min(axis=0), values.max(axis=0)
            ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        labels.append(EndLabel(float(mean[-1]), name, colour, float(x[-1])))
    return labels
