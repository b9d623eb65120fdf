"""Several runs in one report: overlaid curves, one table of results, one of differing settings."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from fedket.report import html
from fedket.report.compare_figures import (
    height_for,
    paint_accuracy_by_bytes,
    paint_accuracy_by_round,
    paint_accuracy_by_time,
    paint_loss_by_round,
)
from fedket.report.drawing import SERIES, render
from fedket.report.figures import curve
from fedket.report.honesty import key_material, server_view
from fedket.report.run_record import RunRecord
from fedket.report.wording import MISSING, count, duration, percent, plural, quantity

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


def comparison_page(records: Sequence[RunRecord]) -> str:
    """The comparison of several runs as one HTML document."""
    parts = [
        html.header("fedket comparison", plural(len(records), "run"), _same_or_not(records)),
        html.section("Results", html.card(_results(records))),
        _figures(records),
        _repeats(records),
        html.section("Settings that differ", html.card(_differences(records))),
        html.section("How to read these numbers", html.notes(_notes(records))),
        html.footer(
            "Written by fedket from run directories "
            + ", ".join(record.directory for record in records)
            + "."
        ),
    ]
    return html.page("fedket comparison", "\n".join(part for part in parts if part))


def _same_or_not(records: Sequence[RunRecord]) -> str:
    data = {(r.setting("data.kind"), r.facts.num_train, r.facts.num_test) for r in records}
    if len(data) == 1:
        name, train, test = data.pop()
        return f"All on {name}: {count(train)} training and {count(test)} test samples."
    return "The runs use different data or amounts of it, so their accuracies do not compare."


def run_titles(records: Sequence[RunRecord]) -> list[str]:
    """Numbered names, so that runs of one experiment stay apart."""
    return [f"{number} {record.name}" for number, record in enumerate(records, start=1)]


def _results(records: Sequence[RunRecord]) -> str:
    rows = [_result(title, r) for title, r in zip(run_titles(records), records, strict=True)]
    colours = [f"var(--series-{number % len(SERIES)})" for number in range(len(records))]
    return html.table(_RUN_COLUMNS, rows, colours)


def _result(title: str, record: RunRecord) -> list[str]:
    totals = record.summary
    return [
        title,
        str(record.setting("seed", MISSING)),
        str(record.setting("strategy.kind", MISSING)),
        str(record.setting("aggregation.kind", MISSING)),
        _bits(record),
        count(totals.rounds),
        percent(totals.test_accuracy),
        percent(totals.best_test_accuracy),
        duration(totals.seconds),
        quantity(totals.upload_bytes, "B"),
        quantity(totals.key_bits, "bit"),
        totals.status,
    ]


def _bits(record: RunRecord) -> str:
    return str(record.setting("aggregation.bits", record.setting("engine.dtype", MISSING)))


_Drawing = tuple[str, str, Callable[[Axes, Sequence[RunRecord]], None], str]
"""Name, title, painter, caption."""

_ACCURACY_DRAWINGS: tuple[_Drawing, ...] = (
    (
        "accuracy",
        "Test accuracy by round",
        paint_accuracy_by_round,
        "Each run's global model on its test set; numbers as in the table.",
    ),
    (
        "bytes",
        "Test accuracy by bytes uploaded",
        paint_accuracy_by_bytes,
        "The same against what all clients together had uploaded until then.",
    ),
    (
        "time",
        "Test accuracy by time",
        paint_accuracy_by_time,
        "The same against the wall time of the simulation, compiling and evaluation included.",
    ),
)
_LOSS_DRAWING: _Drawing = (
    "loss",
    "Test loss by round",
    paint_loss_by_round,
    "Each run's global model on its test set; values that are not finite are left out.",
)


def _figures(records: Sequence[RunRecord]) -> str:
    drawings: list[_Drawing] = []
    if any(len(curve(record, "test_accuracy")[0]) for record in records):
        drawings += _ACCURACY_DRAWINGS
    if any(len(curve(record, "test_loss")[0]) for record in records):
        drawings.append(_LOSS_DRAWING)
    drawn = [
        html.figure(title, _draw(name, paint, records, caption), caption)
        for name, title, paint, caption in drawings
    ]
    body = f'<div class="figures">\n{"".join(drawn)}\n</div>' if drawn else ""
    return html.section("Figures", body or "<p>No run has been evaluated yet.</p>")


def _draw(
    name: str,
    paint: Callable[[Axes, Sequence[RunRecord]], None],
    records: Sequence[RunRecord],
    caption: str,
) -> str:
    return render(name, lambda ax: paint(ax, records), caption, height_for(len(records)))


def _repeats(records: Sequence[RunRecord]) -> str:
    groups: dict[str, list[RunRecord]] = defaultdict(list)
    for record in records:
        settings = flatten(record.config)
        for path in ("name", "description", "seed"):
            settings.pop(path, None)
        groups[json.dumps(settings, default=str, sort_keys=True)].append(record)
    rows = [row for group in groups.values() if (row := _repeat(group)) is not None]
    if not rows:
        return ""
    head = ("Experiment", "Seeds", "Accuracy, mean ± standard deviation", "Best, mean ± s. d.")
    return html.section("Repeats over seeds", html.card(html.table(head, rows)))


def _repeat(group: Sequence[RunRecord]) -> tuple[str, ...] | None:
    finished = [r for r in group if r.summary.status == "finished"]
    if len({r.setting("seed") for r in finished}) < 2:
        return None
    return (
        finished[0].name,
        ", ".join(str(r.setting("seed")) for r in finished),
        _mean_and_deviation([r.summary.test_accuracy for r in finished]),
        _mean_and_deviation([r.summary.best_test_accuracy for r in finished]),
    )


def _mean_and_deviation(fractions: Sequence[float | None]) -> str:
    known = [100 * value for value in fractions if value is not None]
    if len(known) < 2:
        return MISSING
    return f"{np.mean(known):.2f} ± {np.std(known, ddof=1):.2f} %"


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differing_settings(records: Sequence[RunRecord]) -> list[tuple[str, list[str]]]:
    """Config paths whose values are not the same in all runs, with the value in each run."""
    flat = [flatten(record.config) for record in records]
    paths = dict.fromkeys(path for settings in flat for path in settings)
    rows = [
        (path, [_as_written(s[path]) if path in s else MISSING for s in flat]) for path in paths
    ]
    return [(path, values) for path, values in rows if len(set(values)) > 1]


def _as_written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _differences(records: Sequence[RunRecord]) -> str:
    rows = [(path, *values) for path, values in differing_settings(records)]
    if not rows:
        return "<p>None: the runs have the same configuration.</p>"
    return html.table(("Setting", *run_titles(records)), rows)


def _notes(records: Sequence[RunRecord]) -> list[tuple[str, str]]:
    views = dict.fromkeys(server_view(record) for record in records)
    sources = dict.fromkeys(s for r in records for s in key_material(r).split("\n"))
    return [
        ("What the server sees", "\n".join(views)),
        ("Key material", "\n".join(sources)),
        (
            "Differences",
            "One run per setting cannot tell an effect from the luck of its seed; compare means "
            "over several seeds. Seconds compare only between runs on the same idle machine.",
        ),
    ]
