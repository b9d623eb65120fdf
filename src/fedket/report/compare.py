"""Several runs in one report: settings over their seeds, curves with bands, what differs."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from fedket.errors import ConfigError
from fedket.record import MUCH_CLIPPED
from fedket.report import html
from fedket.report.compare_figures import BAND, Curve, curve_of, height_for, paint_metric, words_of
from fedket.report.drawing import SERIES, Painter, draw
from fedket.report.figures import CLOCK_AXIS, clock_of
from fedket.report.honesty import caveats_of
from fedket.report.prediction_figures import (
    MATRIX_INCHES,
    paint_calibration,
    paint_classes,
    paint_confusion,
    predictions_of,
)
from fedket.report.run_record import RunRecord
from fedket.report.setting_tables import (
    common_metrics,
    differences,
    differences_table,
    how_compared,
    labels_of,
    latex_table,
    results_table,
)
from fedket.report.settings import Setting, View, differing_settings, group_runs, seeds_of
from fedket.report.statistics import Difference
from fedket.report.wording import (
    MISSING,
    count,
    decimal_prefix,
    duration,
    percent,
    plural,
    quantity,
)

MAX_COLUMNS = 8
"""Runs up to which each is a column of the settings that differ; more are rows."""

MAX_MATRICES = 6

_RUN_COLUMNS = (
    "Run",
    "Seed",
    "Strategy",
    "Aggregation",
    "Bits",
    "Rounds",
    "Accuracy",
    "Best",
    "Time",
    "Uploaded",
    "Key spent",
    "Status",
)


def metric_of(records: Sequence[RunRecord], asked: str) -> str:
    """The metric that is drawn.

    Raises:
        ConfigError: No run has the one that was asked for.
    """
    if not asked:
        known = any(len(r.series("test_accuracy")[0]) for r in records)
        return "test_accuracy" if known else "test_loss"
    if not any(len(r.series(asked)[0]) for r in records):
        raise ConfigError(
            f"no run has a metric `{asked}`; try test_accuracy, test_loss, train_loss, macro_f1, "
            "auc, ece, or one that the strategy records"
        )
    return asked


def comparison_page(records: Sequence[RunRecord], view: View | None = None) -> str:
    """The comparison of several runs as one HTML document."""
    view = view or View()
    metric = metric_of(records, view.metric)
    settings = group_runs(records, view.by, view.panel)
    titles = run_titles(records)
    rows = [_result(title, r) for title, r in zip(titles, records, strict=True)]
    several = len(settings) < len(records) or bool(view.panel)
    colours = [f"var(--series-{number % len(SERIES)})" for number in range(len(records))]
    runs = html.table(_RUN_COLUMNS, rows, () if several else colours)
    if several:
        runs = html.folded(f"All {plural(len(records), 'run')}", runs)
    compared = differences(settings, metric)
    parts = [
        html.header("fedket comparison", plural(len(records), "run"), _same_or_not(records)),
        _settings_section(settings, metric),
        "" if several else html.section("Results", html.card(runs)),
        *_figures(settings, metric, view.downloads),
        _predictions(settings, view.downloads),
        _differences_section(compared, metric),
        html.section("Runs", html.card(runs)) if several else "",
        html.section("Settings that differ", html.card(_differences(records))),
        html.section("How to read these numbers", html.notes(_notes(records, settings, compared))),
        html.footer(
            "Written by fedket from run directories "
            + ", ".join(record.directory for record in records)
            + "."
        ),
    ]
    return html.page("fedket comparison", parts)


def comparison_table(records: Sequence[RunRecord], view: View) -> str:
    """The results of the settings as a LaTeX table."""
    settings = group_runs(records, view.by, view.panel)
    return latex_table(settings, common_metrics(settings, metric_of(records, view.metric)))


def _same_or_not(records: Sequence[RunRecord]) -> str:
    data = {(r.setting("data.kind"), r.facts.num_train, r.facts.num_test) for r in records}
    if len(data) == 1:
        name, train, test = data.pop()
        return f"All on {name}: {count(train)} training and {count(test)} test samples."
    return "The runs use different data or amounts of it, so their accuracies do not compare."


def run_titles(records: Sequence[RunRecord]) -> list[str]:
    """Numbered names, so that runs of one experiment stay apart."""
    return [f"{number} {record.name}" for number, record in enumerate(records, start=1)]


def _result(title: str, record: RunRecord) -> list[str]:
    totals = record.summary
    return [
        title,
        str(record.setting("seed", MISSING)),
        str(record.setting("strategy.kind", MISSING)),
        str(record.setting("aggregation.kind", MISSING)),
        str(record.setting("aggregation.bits", record.setting("engine.dtype", MISSING))),
        count(totals.rounds),
        percent(totals.test_accuracy),
        percent(totals.best_test_accuracy),
        duration(totals.seconds),
        quantity(totals.upload_bytes, "B"),
        quantity(totals.key_bits, "bit"),
        totals.status,
    ]


def _settings_section(settings: Sequence[Setting], metric: str) -> str:
    """Results over seeds; empty if no setting has several."""
    if seeds_of(settings) < 2 and not settings[0].panel:
        return ""
    table = results_table(settings, common_metrics(settings, metric))
    words = "Mean ± standard error over seeds, after the last round; bytes, key and time per run."
    return html.section("Results over seeds", html.card(f"{table}\n<p>{html.text(words)}</p>"))


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


def _figures(settings: Sequence[Setting], metric: str, downloads: bool) -> list[str]:
    """A section of figures: each axis, panel by panel."""
    runs = [run for s in settings for run in s.runs]
    panels = list(dict.fromkeys(s.panel for s in settings))
    names = dict(zip(map(id, settings), labels_of(settings), strict=True))
    drawings: list[tuple[str, str, Painter, int]] = []
    for axis in _axes(runs):
        so_far = dict(zip(map(id, runs), axis.so_far, strict=True))
        curves = [_along(curve_of(names[id(s)], s.runs, metric), s, so_far) for s in settings]
        title = f"{words_of(metric).partition(',')[0].capitalize()} {axis.title}"
        for number, panel in enumerate(panels):
            shown = [c for c, s in zip(curves, settings, strict=True) if s.panel == panel]
            of_panel = title + f": {panel}" * bool(panel)
            drawings += _drawing(f"{axis.name}-{number}", of_panel, shown, metric, axis, curves)
    losses = [curve_of(names[id(s)], s.runs, "test_loss") for s in settings]
    if metric != "test_loss" and len(panels) == 1:
        axis = _Axis("loss", "", "", [])
        drawings += _drawing("loss", "Test loss by round", losses, "test_loss", axis)
    if not drawings:
        return [html.section("Figures", "<p>No run has been evaluated yet.</p>")]
    drawn = (
        draw(name, title, paint, height_for(curves), downloads=downloads)
        for name, title, paint, curves in drawings
    )
    return [html.section("Figures", html.figures(drawn))]


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


def _predictions(settings: Sequence[Setting], downloads: bool) -> str:
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


def _differences_section(compared: Sequence[Difference], metric: str) -> str:
    """Paired differences over seeds; empty if no two settings share two seeds."""
    if not compared:
        return ""
    table = differences_table(compared, metric)
    return html.section("Differences between settings, over seeds", html.card(table))


def _differences(records: Sequence[RunRecord]) -> str:
    rows = [(path, *values) for path, values in differing_settings(records)]
    if not rows:
        return "<p>None: the runs have the same configuration.</p>"
    titles = run_titles(records)
    if len(records) <= MAX_COLUMNS:
        return html.table(("Setting", *titles), rows)
    columns = zip(titles, *(values for _, *values in rows), strict=True)
    return html.table(("Run", *(path for path, *_ in rows)), columns)


def _notes(
    records: Sequence[RunRecord], settings: Sequence[Setting], compared: Sequence[Difference]
) -> list[tuple[str, str]]:
    views = dict.fromkeys(caveats_of(record, "aggregation") for record in records)
    sources = dict.fromkeys(caveats_of(record, "keys") for record in records)
    titled = zip(run_titles(records), records, strict=True)
    much = [t for t, r in titled if (r.summary.highest_clipped_share or 0) > MUCH_CLIPPED]
    clipped = f"More than {percent(MUCH_CLIPPED)} in some round of: {', '.join(much)}."
    one = (
        "One run per setting cannot tell an effect from the luck of its seed; compare means over "
        "several seeds. "
    )
    return [
        ("What the server sees", "\n".join(views)),
        ("Key material", "\n".join(sources)),
        *([("Clipped coordinates", clipped)] if much else []),
        *([("Significance", how_compared(compared))] if compared else []),
        (
            "Differences",
            f"{one if seeds_of(settings) < 2 else ''}Seconds compare only between runs on the same "
            "idle machine.",
        ),
    ]
