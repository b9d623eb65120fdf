"""What a model's predictions are worth: confusion, classes, calibration, of one run or several."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.ticker import MaxNLocator

from fedket.federated.metrics import CALIBRATION_BINS, expected_calibration_error, per_class
from fedket.record import CalibrationBin, Quality
from fedket.report import html
from fedket.report.drawing import (
    DASHES,
    FONT_POINTS,
    MUTED,
    SERIES,
    EndLabel,
    label_ends,
)
from fedket.report.run_record import RunRecord
from fedket.report.wording import count, percent

MAX_CELLS_WITH_NUMBERS = 12
"""Classes up to which the cells of a confusion matrix hold their numbers."""

MATRIX_INCHES = 3.6
"""Height of a confusion matrix."""

STRONGEST = 0.5
"""Opacity of a full cell; the numbers in it stay legible, on light pages and dark."""


class Predictions(NamedTuple):
    """Of one run, or of a setting's runs together.

    Attributes:
        name: Whose.
        confusion: Samples by class and predicted class, shape (classes, classes).
        bins: Reliability diagram.
    """

    name: str
    confusion: np.ndarray
    bins: tuple[CalibrationBin, ...]


def predictions_of(name: str, runs: Iterable[RunRecord]) -> Predictions | None:
    """Predictions of the last evaluations together; None if a run has none, or other classes."""
    found = [run.quality for run in runs]
    matrices = [np.array(q.confusion) for q in found if q is not None and q.confusion]
    if not matrices or len(matrices) < len(found) or len({m.shape for m in matrices}) > 1:
        return None
    return Predictions(name, np.sum(matrices, axis=0), _pooled([q for q in found if q is not None]))


def _pooled(qualities: Sequence[Quality]) -> tuple[CalibrationBin, ...]:
    """Bins of all samples together."""
    sums: dict[int, np.ndarray] = defaultdict(lambda: np.zeros(3))
    for b in (b for q in qualities for b in q.calibration):
        place = int(np.ceil(b.confidence * CALIBRATION_BINS - 1e-6))
        sums[place] += b.samples * np.array([1.0, b.confidence, b.accuracy])
    return tuple(
        CalibrationBin(samples=int(n), confidence=min(sure / n, 1.0), accuracy=min(right / n, 1.0))
        for _, (n, sure, right) in sorted(sums.items())
    )


def paint_confusion(ax: Axes, predictions: Predictions) -> str:
    """Confusion matrix, each row in shares of its class."""
    confusion = predictions.confusion
    samples = confusion.sum(axis=1, keepdims=True)
    shares = confusion / np.maximum(samples, 1)
    classes = len(confusion)
    ax.pcolormesh(
        np.arange(classes + 1) - 0.5,
        np.arange(classes + 1) - 0.5,
        confusion,
        cmap=ListedColormap([SERIES[0]]),
        alpha=STRONGEST * shares,
        label="samples",
    )
    if classes <= MAX_CELLS_WITH_NUMBERS:
        for y, x in zip(*np.nonzero(confusion), strict=True):
            ax.text(
                x,
                y,
                count(int(confusion[y, x])),
                ha="center",
                va="center_baseline",
                fontsize=FONT_POINTS - 1,
            )
    ax.invert_yaxis()
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=12, min_n_ticks=1))
    ax.grid(visible=False)
    ax.set_xlabel("predicted class", loc="right")
    ax.set_title("class")
    right = confusion.trace() / max(int(confusion.sum()), 1)
    wrong = confusion - np.diag(confusion.diagonal())
    true, taken = np.unravel_index(int(wrong.argmax()), wrong.shape)
    most = ""
    if wrong.any():
        most = f" Most often mistaken: {true} for {taken}, {count(int(wrong.max()))} times."
    return (
        f"Test samples after the last evaluation, {percent(right)} on the diagonal. The stronger "
        f"the colour, the larger the share of the row's class.{most}"
    )


def paint_calibration(ax: Axes, several: Sequence[Predictions]) -> str:
    """Accuracy against confidence, bin by bin."""
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (2, 3)))
    labels = []
    for number, (name, _, bins) in enumerate(several):
        colour, dash = SERIES[number % len(SERIES)], DASHES[number // len(SERIES) % len(DASHES)]
        x, y = [b.confidence for b in bins], [b.accuracy for b in bins]
        ax.plot(x, y, color=colour, linestyle=dash, linewidth=1.3, label=name, clip_on=False)
        sizes = np.array([b.samples for b in bins], float)
        areas = 4 + 60 * sizes / sizes.max(initial=1)
        dots = ax.scatter(
            x, y, areas, sizes, cmap=ListedColormap([colour]), alpha=0.55, linewidths=0
        )
        dots.set(clip_on=False, label=f"{name}, samples")
        if bins:
            error = f"ECE {expected_calibration_error(bins):.3f}"
            text = name if len(several) > 1 else error
            labels.append(EndLabel(y[-1], text, colour, x[-1]))
    lowest = min((b.confidence for p in several for b in p.bins), default=0.0)
    ax.set_xlim(min(0.9, np.floor(10 * lowest) / 10), 1)
    ax.set_ylim(0, 1)
    ax.set_xlabel("confidence", loc="right")
    ax.set_title("accuracy")
    label_ends(ax, labels)
    return (
        "Confidence: the largest softmax of the logits. Below the dotted line a model is surer "
        f"than it is right. {CALIBRATION_BINS} bins of equal width, the area of a dot its number "
        f"of samples (Guo et al. 2017, arXiv:1706.04599)."
    )


def paint_classes(ax: Axes, several: Sequence[Predictions]) -> str:
    """F1 of each class."""
    labels = []
    for number, (name, confusion, _) in enumerate(several):
        colour, dash = SERIES[number % len(SERIES)], DASHES[number // len(SERIES) % len(DASHES)]
        f1 = per_class(confusion)[:, 2]
        ax.plot(
            f1, color=colour, linestyle=dash, marker="o", linewidth=1.2, label=name, clip_on=False
        )
        labels.append(EndLabel(float(f1[-1]), name, colour, float(len(f1) - 1)))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12, min_n_ticks=1))
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, 0), min(high, 1.01))
    ax.set_xlabel("class", loc="right")
    ax.set_title("F1")
    label_ends(ax, labels)
    return "Of the test samples of all seeds together, after the last evaluation."


def classes_section(record: RunRecord) -> str:
    """Precision, recall and F1 of each class; empty without a confusion matrix."""
    found = predictions_of(record.name, [record])
    if found is None:
        return ""
    numbers, samples = per_class(found.confusion), found.confusion.sum(axis=1)
    rows = [
        (label, count(int(n)), *(f"{value:.3f}" for value in row))
        for label, (n, row) in enumerate(zip(samples, numbers, strict=True))
    ]
    quality = record.quality or Quality()
    means = [("macro F1", quality.macro_f1), ("AUC", quality.auc), ("ECE", quality.ece)]
    pairs = [(name, f"{value:.4f}") for name, value in means if value is not None]
    table = html.table(("Class", "Test samples", "Precision", "Recall", "F1"), rows)
    return html.section("Classes", html.card(f"{html.facts(pairs)}\n{table}"))
