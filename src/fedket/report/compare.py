"""Several runs in one report: overlaid curves, one table of results, one of differing settings."""

import json
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import numpy as np

from fedket.experiment.rows import flatten
from fedket.record import MUCH_CLIPPED
from fedket.report import html
from fedket.report.compare_figures import Curve, curve_of, height_for, paint_accuracy, paint_loss
from fedket.report.drawing import SERIES, Painter, draw
from fedket.report.figures import CLOCK_AXIS, clock_of
from fedket.report.honesty import caveats_of
from fedket.report.run_record import RunRecord
from fedket.report.wording import (
    MISSING,
    count,
    decimal_prefix,
    duration,
    percent,
    plural,
    quantity,
    shorten,
)

MAX_NAMED_RUNS = 12

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
    rows = [_result(title, r) for title, r in zip(run_titles(records), records, strict=True)]
    colours = [f"var(--series-{number % len(SERIES)})" for number in range(len(records))]
    parts = [
        html.header("fedket comparison", plural(len(records), "run"), _same_or_not(records)),
        html.section("Results", html.card(html.table(_RUN_COLUMNS, rows, colours))),
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
    return html.page("fedket comparison", parts)


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


def _figures(records: Sequence[RunRecord]) -> str:
    names = _labels(records)
    accuracy, losses = (
        [curve_of(name, [record], field) for name, record in zip(names, records, strict=True)]
        for field in ("test_accuracy", "test_loss")
    )
    drawings: list[tuple[str, str, Painter]] = []
    if any(len(c.x) for c in accuracy):
        drawings += _accuracy_drawings(records, accuracy)
    if any(len(c.x) for c in losses):
        caption = (
            "Each run's global model on its test set; values that are not finite are left out."
        )
        paint = partial(paint_loss, curves=losses, caption=caption)
        drawings.append(("loss", "Test loss by round", paint))
    if not drawings:
        return html.section("Figures", "<p>No run has been evaluated yet.</p>")
    height = height_for(len(records))
    return html.section("Figures", html.figures(draw(*drawing, height) for drawing in drawings))


def _accuracy_drawings(
    records: Sequence[RunRecord], curves: Sequence[Curve]
) -> list[tuple[str, str, Painter]]:
    """Name, title and painter."""
    uploads = [np.cumsum([float(r.upload_bytes) for r in record.rounds]) for record in records]
    factor, prefix = decimal_prefix(max(sent[-1] for sent in uploads if len(sent)))
    sent = _along(curves, [sent / factor for sent in uploads])
    spent = _along(curves, [np.cumsum([r.seconds for r in record.rounds]) for record in records])
    on_test = "Each run's global model on its test set; numbers as in the table."
    by_bytes = "The same against what all clients together had uploaded until then."
    by_time = "The same against wall time, compiling and evaluation included."
    axes = f"uploaded, {prefix}B", "wall time, s"
    clocks = [clock_of(record) for record in records]
    by_clock = "The same against the time that rounds would take under [conditions]."
    clocked = all(record.summary.simulated_s is not None for record in records)
    along_clock = partial(
        paint_accuracy, curves=_along(curves, clocks), caption=by_clock, axis=CLOCK_AXIS
    )
    return [
        (
            "accuracy",
            "Test accuracy by round",
            partial(paint_accuracy, curves=curves, caption=on_test),
        ),
        (
            "bytes",
            "Test accuracy by bytes uploaded",
            partial(paint_accuracy, curves=sent, caption=by_bytes, axis=axes[0]),
        ),
        (
            "time",
            "Test accuracy by time",
            partial(paint_accuracy, curves=spent, caption=by_time, axis=axes[1]),
        ),
        *([("clock", "Test accuracy by simulated time", along_clock)] if clocked else []),
    ]


def _along(curves: Sequence[Curve], so_far: Sequence[np.ndarray]) -> list[Curve]:
    """Curves over what had been spent by each round."""
    pairs = zip(curves, so_far, strict=True)
    return [c._replace(x=spent[c.x.astype(int) - 1]) for c, spent in pairs]


def _labels(records: Sequence[RunRecord]) -> list[str]:
    """A number for each run and, unless there are many, its name, or its seed if all are alike."""
    alike = len({record.name for record in records}) == 1
    names = [
        f"seed {record.setting('seed', '?')}" if alike else shorten(record.name, 14)
        for record in records
    ]
    few = len(records) <= MAX_NAMED_RUNS
    return [f"{number} {name}" if few else f"{number}" for number, name in enumerate(names, 1)]


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


def differing_settings(records: Sequence[RunRecord]) -> list[tuple[str, list[str]]]:
    """Config paths whose values are not the same in all runs, with the value in each run."""
    flat = [flatten(record.config) for record in records]
    paths = dict.fromkeys(path for settings in flat for path in settings)
    write = partial(json.dumps, ensure_ascii=False, default=str)
    rows = [(path, [write(s[path]) if path in s else MISSING for s in flat]) for path in paths]
    return [(path, values) for path, values in rows if len(set(values)) > 1]


def _differences(records: Sequence[RunRecord]) -> str:
    rows = [(path, *values) for path, values in differing_settings(records)]
    if not rows:
        return "<p>None: the runs have the same configuration.</p>"
    return html.table(("Setting", *run_titles(records)), rows)


def _notes(records: Sequence[RunRecord]) -> list[tuple[str, str]]:
    views = dict.fromkeys(caveats_of(record, "aggregation") for record in records)
    sources = dict.fromkeys(caveats_of(record, "keys") for record in records)
    titled = zip(run_titles(records), records, strict=True)
    much = [t for t, r in titled if (r.summary.highest_clipped_share or 0) > MUCH_CLIPPED]
    clipped = f"More than {percent(MUCH_CLIPPED)} in some round of: {', '.join(much)}."
    return [
        ("What the server sees", "\n".join(views)),
        ("Key material", "\n".join(sources)),
        *([("Clipped coordinates", clipped)] if much else []),
        (
            "Differences",
            "One run per setting cannot tell an effect from the luck of its seed; compare means "
            "over several seeds. Seconds compare only between runs on the same idle machine.",
        ),
    ]
