"""Figures of several runs on the same axes, each line labelled at its end."""

from collections.abc import Sequence

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
from fedket.report.wording import decimal_prefix, shorten

MAX_NAMED_RUNS = 12


def height_for(num_runs: int) -> float:
    """Inches, so that every run finds room for its label."""
    return max(HEIGHT_INCHES, 1.4 * FONT_POINTS / 72 * num_runs / 0.8)


def paint_accuracy_by_round(ax: Axes, records: Sequence[RunRecord]) -> None:
    """Test accuracy over rounds."""
    curves = [_percentages(record) for record in records]
    labels = _paint_lines(ax, curves, records)
    percent_axis(ax)
    round_axis(ax, max(len(record.rounds) for record in records))
    ax.set_title("test accuracy, %")
    label_ends(ax, labels)


def paint_accuracy_by_bytes(ax: Axes, records: Sequence[RunRecord]) -> None:
    """Test accuracy against the bytes uploaded so far."""
    spent = [np.cumsum([float(r.upload_bytes) for r in record.rounds]) for record in records]
    factor, prefix = decimal_prefix(max(s[-1] for s in spent if len(s)))
    _paint_accuracy_by(ax, records, [s / factor for s in spent], f"uploaded, {prefix}B")


def paint_accuracy_by_time(ax: Axes, records: Sequence[RunRecord]) -> None:
    """Test accuracy against the wall time so far."""
    spent = [np.cumsum([r.seconds for r in record.rounds]) for record in records]
    _paint_accuracy_by(ax, records, spent, "wall time of the simulation, s")


def _paint_accuracy_by(
    ax: Axes, records: Sequence[RunRecord], spent: Sequence[np.ndarray], axis: str
) -> None:
    curves = []
    for record, so_far in zip(records, spent, strict=True):
        rounds, accuracy = _percentages(record)
        curves.append((so_far[rounds.astype(int) - 1], accuracy))
    labels = _paint_lines(ax, curves, records)
    percent_axis(ax)
    ax.set_xlim(0, max(float(x[-1]) for x, _ in curves if len(x)) or 1.0)
    ax.set_xlabel(axis, loc="right")
    ax.set_title("test accuracy, %")
    label_ends(ax, labels)


def paint_loss_by_round(ax: Axes, records: Sequence[RunRecord]) -> None:
    """Test loss over rounds."""
    labels = _paint_lines(ax, [curve(record, "test_loss") for record in records], records)
    round_axis(ax, max(len(record.rounds) for record in records))
    ax.set_title("test loss")
    log_if_wide(ax)
    label_ends(ax, labels)


def _percentages(record: RunRecord) -> tuple[np.ndarray, np.ndarray]:
    rounds, accuracy = curve(record, "test_accuracy")
    return rounds, 100 * accuracy


def short_names(records: Sequence[RunRecord]) -> list[str]:
    """What tells the runs apart in a few letters: the name, or the seed if names are the same."""
    if len({record.name for record in records}) == 1:
        return [f"seed {record.setting('seed', '?')}" for record in records]
    return [shorten(record.name, 14) for record in records]


def _paint_lines(
    ax: Axes, curves: Sequence[tuple[np.ndarray, np.ndarray]], records: Sequence[RunRecord]
) -> list[EndLabel]:
    labels, names = [], short_names(records)
    for number, (x, y) in enumerate(curves):
        if not len(x):
            continue
        colour = SERIES[number % len(SERIES)]
        dash = DASHES[number // len(SERIES) % len(DASHES)]
        marker = marker_for(len(x))
        ax.plot(x, y, color=colour, linestyle=dash, linewidth=1.6, marker=marker, clip_on=False)
        name = names[number] if len(records) <= MAX_NAMED_RUNS else ""
        labels.append(EndLabel(float(y[-1]), f"{number + 1} {name}".rstrip(), colour, float(x[-1])))
    return labels
