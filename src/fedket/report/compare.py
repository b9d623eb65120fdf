"""Several runs in one report: settings over their seeds, curves with bands, what differs."""

from collections.abc import Sequence

from fedket.errors import ConfigError
from fedket.record import MUCH_CLIPPED
from fedket.report import html
from fedket.report.drawing import SERIES
from fedket.report.honesty import caveats_of
from fedket.report.run_record import RunRecord
from fedket.report.setting_figures import figures_section, predictions_section
from fedket.report.setting_tables import (
    common_metrics,
    differences,
    differences_table,
    how_compared,
    latex_table,
    results_table,
)
from fedket.report.settings import Setting, View, differing_settings, group_runs, seeds_of
from fedket.report.statistics import Difference
from fedket.report.wording import (
    MISSING,
    count,
    duration,
    percent,
    plural,
    quantity,
)

MAX_COLUMNS = 8
"""Runs up to which each is a column of the settings that differ; more are rows."""

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
        figures_section(settings, metric, view.downloads),
        predictions_section(settings, view.downloads),
        _differences_section(compared, metric),
        html.section("Runs", html.card(runs)) if several else "",
        html.section("Settings that differ", html.card(_differences(records))),
        html.section("How to read these numbers", html.notes(_notes(records, settings, compared))),
        html.footer(
            f"Written by fedket from {count(len(records))} run directories."
            if len(records) > MAX_COLUMNS
            else "Written by fedket from run directories "
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
    return html.folded("Of each run", html.table(("Run", *(path for path, *_ in rows)), columns))


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
