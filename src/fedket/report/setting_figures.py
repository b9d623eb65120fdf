"""Figures of settings over their seeds: a metric against what is spent, and what predictions are.

The axes are rounds, bytes, key, time, and simulated time where there is one.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from fedket.report import html
from fedket.report.compare_figures import (
    BAND,
    Curve,
    capital,
    curve_of,
    height_for,
    paint_metric,
    words_of,
)
from fedket.report.drawing import Painter, draw
from fedket.report.figures import CLOCK_AXIS, clock_of
from fedket.report.prediction_figures import (
    MATRIX_INCHES,
    paint_calibration,
    paint_classes,
    paint_confusion,
    predictions_of,
)
from fedket.report.run_record import RunRecord
from fedket.report.setting_tables import labels_of
from fedket.report.settings import Setting
from fedket.report.wording import decimal_prefix

MAX_MATRICES = 6
"""Settings whose confusion matrices are drawn; of more, none."""


class _Axis(NamedTuple):
    """What a metric is drawn against: how it is called, and its value after each round of a run."""

    name: str
    title: str
    label: str
    so_far: list[np.ndarray]


def _axes(runs: Sequence[RunRecord]) -> list[_Axis]:
    """Of the runs in their order; what nobody spends is left out."""
    found = [_Axis("round", "by round", "", [np.arange(1, len(r.rounds) + 1) for r in runs])]
    for name, field, unit, verb in (
        ("bytes", "upload_bytes", "B", "uploaded"),
        ("key", "key_bits", "bit", "key spent"),
    ):
        spent = [np.cumsum([float(getattr(x, field)) for x in r.rounds]) for r in runs]
        most = max((s[-1] for s in spent if len(s)), default=0.0)
        factor, prefix = decimal_prefix(most)
        if most:
            by = "by bytes uploaded" if name == "bytes" else "by key spent"
            found.append(_Axis(name, by, f"{verb}, {prefix}{unit}", [s / factor for s in spent]))
    seconds = [np.cumsum([x.seconds for x in r.rounds]) for r in runs]
    found.append(_Axis("time", "by time", "wall time, s", seconds))
    if all(r.summary.simulated_s is not None for r in runs):
        found.append(_Axis("clock", "by simulated time", CLOCK_AXIS, list(map(clock_of, runs))))
    return found


_AXIS_WORDS = {
    "round": "Global model on the test set.",
    "bytes": "The same against what all clients together had uploaded until then.",
    "key": "The same against the key that all pairs together had spent until then.",
    "time": "The same against wall time, compiling and evaluation included.",
    "clock": "The same against the time that rounds would take under [conditions].",
}


def figures_section(settings: Sequence[Setting], metric: str, downloads: bool) -> str:
    """A metric against each axis, panel by panel."""
    runs = [run for s in settings for run in s.runs]
    panels = list(dict.fromkeys(s.panel for s in settings))
    names = dict(zip(map(id, settings), labels_of(settings), strict=True))
    drawings: list[tuple[str, str, Painter, int]] = []
    for axis in _axes(runs):
        so_far = dict(zip(map(id, runs), axis.so_far, strict=True))
        curves = [_along(curve_of(names[id(s)], s.runs, metric), s, so_far) for s in settings]
        title = f"{capital(words_of(metric))} {axis.title}"
        for number, panel in enumerate(panels):
            shown = [c for c, s in zip(curves, settings, strict=True) if s.panel == panel]
            of_panel = title + f": {panel}" * bool(panel)
            drawings += _drawing(f"{axis.name}-{number}", of_panel, shown, metric, axis, curves)
    losses = [curve_of(names[id(s)], s.runs, "test_loss") for s in settings]
    if metric != "test_loss" and len(panels) == 1:
        axis = _Axis("loss", "", "", [])
        drawings += _drawing("loss", "Test loss by round", losses, "test_loss", axis)
    if not drawings:
        return html.section("Figures", "<p>No run has been evaluated yet.</p>")
    drawn = (
        draw(name, title, paint, height_for(curves), downloads=downloads)
        for name, title, paint, curves in drawings
    )
    return html.section("Figures", html.figures(drawn))


def _drawing(
    name: str,
    title: str,
    curves: Sequence[Curve],
    metric: str,
    axis: _Axis,
    among: Sequence[Curve] = (),
) -> list[tuple[str, str, Painter, int]]:
    """Name, title, painter and number of curves; nothing if no curve has points."""
    if not any(len(c.x) for c in curves):
        return []
    band = any(len(c.values) > 1 for c in curves)
    words = _AXIS_WORDS.get(axis.name, "Values that are not finite are left out.")
    caption = f"{words} Line: mean, {BAND}." if band else words
    paint = partial(
        paint_metric, curves=curves, metric=metric, caption=caption, axis=axis.label, among=among
    )
    return [(name, title, paint, len(curves))]


def _along(curve: Curve, setting: Setting, so_far: dict[int, np.ndarray]) -> Curve:
    """A curve over what had been spent by each round, the mean over its runs."""
    if not len(curve.x):
        return curve
    places = curve.x.astype(int) - 1
    return curve._replace(x=np.mean([so_far[id(run)][places] for run in setting.runs], axis=0))


def predictions_section(settings: Sequence[Setting], downloads: bool) -> str:
    """Calibration, classes and confusion at the end; empty if no run recorded them."""
    labels = zip(labels_of(settings, panels=True), settings, strict=True)
    found = [p for label, s in labels if (p := predictions_of(label, s.runs)) is not None]
    if not found:
        return ""
    height = height_for(len(found))
    drawings: list[tuple[str, str, Painter, float]] = [
        ("calibration", "Calibration", partial(paint_calibration, several=found), height)
    ]
    if len({len(p.confusion) for p in found}) == 1:
        painted = partial(paint_classes, several=found)
        drawings.append(("classes", "F1 by class", painted, height))
    if len(found) <= MAX_MATRICES:
        for number, p in enumerate(found):
            painted = partial(paint_confusion, predictions=p)
            drawings.append((f"confusion-{number}", f"Confusion: {p.name}", painted, MATRIX_INCHES))
    drawn = (draw(*drawing, downloads=downloads) for drawing in drawings)
    return html.section("Predictions", html.figures(drawn))
