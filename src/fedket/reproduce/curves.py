"""Learning curves of rows: the mean over seeds as a line, the range over seeds as a band."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from fedket.report.drawing import DASHES, SERIES, EndLabel, label_ends, round_axis
from fedket.report.figures import curve, log_if_wide, marker_for, percent_axis
from fedket.report.run_record import RunRecord
from fedket.report.wording import shorten

LABEL_LETTERS = 16
MAX_NAMED = 12


class RowCurve(NamedTuple):
    """A row over its rounds.

    Attributes:
        title: Name of the row.
        rounds: Rounds in which every seed was evaluated, shape (points,).
        values: The metric, shape (seeds, points).
    """

    title: str
    rounds: np.ndarray
    values: np.ndarray


def row_curve(title: str, records: Sequence[RunRecord], field: str) -> RowCurve:
    """The rounds that all seeds share; no points if there are none."""
    curves = [dict(zip(*curve(record, field), strict=True)) for record in records]
    shared = sorted(set.intersection(*(set(c) for c in curves))) if curves else []
    values = [[c[number] for number in shared] for c in curves]
    return RowCurve(title, np.array(shared), np.array(values).reshape(len(curves), len(shared)))


def paint_accuracy(ax: Axes, rows: Sequence[RowCurve]) -> None:
    """Test accuracy over rounds, percent."""
    labels = _paint(ax, [row._replace(values=100 * row.values) for row in rows])
    percent_axis(ax)
    ax.set_title("test accuracy, %")
    label_ends(ax, labels)


def paint_loss(ax: Axes, rows: Sequence[RowCurve]) -> None:
    """Test loss over rounds."""
    labels = _paint(ax, rows)
    ax.set_title("test loss")
    log_if_wide(ax)
    label_ends(ax, labels)


def _paint(ax: Axes, rows: Sequence[RowCurve]) -> list[EndLabel]:
    labels = []
    for number, row in enumerate(rows):
        if not len(row.rounds):
            continue
        colour, dash = SERIES[number % len(SERIES)], DASHES[number // len(SERIES) % len(DASHES)]
        mean, marker = row.values.mean(axis=0), marker_for(len(row.rounds))
        ax.plot(row.rounds, mean, color=colour, linestyle=dash, linewidth=1.6, marker=marker)
        if len(row.values) > 1:
            low, high = row.values.min(axis=0), row.values.max(axis=0)
            ax.fill_between(row.rounds, low, high, color=colour, alpha=0.15, linewidth=0)
        name = shorten(row.title, LABEL_LETTERS) if len(rows) <= MAX_NAMED else str(number + 1)
        labels.append(EndLabel(float(mean[-1]), name, colour, float(row.rounds[-1])))
    round_axis(ax, int(max(row.rounds[-1] for row in rows if len(row.rounds))))
    return labels
