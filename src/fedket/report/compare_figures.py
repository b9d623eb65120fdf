"""Figures of several runs on the same axes, each line labelled at its end.

A line is one run, or the mean over several seeds with a band: Student's interval of the mean. The
axes show all seeds; a band that is wider, as of two seeds, is cut off there.
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
from fedket.report.statistics import CONFIDENCE, estimate

PERCENT = ("test_accuracy", "validation_accuracy")
"""Metrics that are drawn in percent."""

SHORT = {"macro_f1": "macro F1", "auc": "AUC", "ece": "ECE", "mse": "MSE", "r2": "R²"}
"""Names of metrics that are not their words."""

BAND = f"band: {CONFIDENCE:.0%} interval of the mean over seeds (Student), cut off at the axes"


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
    """A metric over the rounds that all runs share; no points if there are none."""
    curves = [dict(zip(*curve(record, field), strict=True)) for record in records]
    shared = sorted(set.intersection(*(set(c) for c in curves))) if curves else []
    values = [[c[number] for number in shared] for c in curves]
    return Curve(name, np.array(shared), np.array(values).reshape(len(curves), len(shared)))


def height_for(num_curves: int) -> float:
    """Inches, so that every curve finds room for its label."""
    return max(HEIGHT_INCHES, 1.4 * FONT_POINTS / 72 * num_curves / 0.8)


def words_of(metric: str) -> str:
    """What a metric is called."""
    return SHORT.get(metric, metric.replace("_", " "))


def capital(words: str) -> str:
    """Words with a capital at the beginning."""
    return words[:1].upper() + words[1:]


def unit_of(metric: str) -> str:
    """What follows the name of a metric where its numbers are shown."""
    return ", %" if metric in PERCENT else ""


def paint_metric(
    ax: Axes,
    curves: Sequence[Curve],
    metric: str,
    caption: str,
    axis: str = "",
    among: Sequence[Curve] = (),
) -> str:
    """A metric over rounds, or over what `axis` names; returns the caption.

    The axes hold the curves of `among`, too, so that panels have the same.
    """
    if metric in PERCENT:
        curves, among = ([c._replace(values=100 * c.values) for c in s] for s in (curves, among))
    every = [c for c in (*curves, *among) if len(c.x)]
    labels = _paint_lines(ax, curves)
    _show_all_seeds(ax, every)
    ax.set_title(words_of(metric) + unit_of(metric))
    if metric in PERCENT:
        percent_axis(ax)
    elif "loss" in metric:
        log_if_wide(ax)
    last = max(float(c.x[-1]) for c in every)
    if axis:
        ax.set_xlim(0, last or 1.0)
        ax.set_xlabel(axis, loc="right")
    else:
        round_axis(ax, int(last))
    label_ends(ax, labels)
    return caption


def _paint_lines(ax: Axes, curves: Sequence[Curve]) -> list[EndLabel]:
    labels = []
    for number, (name, x, values) in enumerate(curves):
        if not len(x):
            continue
        colour = SERIES[number % len(SERIES)]
        dash = DASHES[number // len(SERIES) % len(DASHES)]
        found, marker = estimate(values), marker_for(len(x))
        (line,) = ax.plot(x, found.mean, color=colour, linestyle=dash, linewidth=1.6, clip_on=False)
        line.set(marker=marker, label=name)
        if found.n > 1:
            band = f"{name}, {CONFIDENCE:.0%} interval"
            ax.fill_between(
                x, found.low, found.high, color=colour, alpha=0.15, linewidth=0, label=band
            )
        labels.append(EndLabel(float(found.mean[-1]), name, colour, float(x[-1])))
    return labels


def _show_all_seeds(ax: Axes, curves: Sequence[Curve]) -> None:
    every = np.concatenate([c.values.ravel() for c in curves])
    low, high = float(every.min()), float(every.max())
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    ax.set_ylim(low - margin, high + margin)
