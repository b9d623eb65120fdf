"""Tables of settings over their seeds: results, paired differences, and results as LaTeX."""

from collections.abc import Sequence

from fedket.report import html
from fedket.report.compare_figures import PERCENT, capital, unit_of, words_of
from fedket.report.run_record import RunRecord
from fedket.report.settings import Setting
from fedket.report.statistics import (
    CONFIDENCE,
    SIGNIFICANCE,
    Difference,
    estimate,
    paired_differences,
)
from fedket.report.wording import MISSING, NARROW_SPACE, duration, plural, quantity, shorten

MAX_COMPARISONS = 60
"""Rows of paired differences; of more, only those with the panel's first setting are shown."""

MAX_NAMED = 18
"""Settings that figures call by name; more have numbers."""

LABEL_LETTERS = 24

METRICS = (
    "test_accuracy",
    "test_loss",
    "macro_f1",
    "auc",
    "ece",
    "mse",
    "r2",
    "validation_accuracy",
    "validation_loss",
)
"""What is averaged over seeds, of those that all settings have."""


def title_of(metric: str) -> str:
    """A metric as the head of a column."""
    return capital(words_of(metric)) + unit_of(metric)


def common_metrics(settings: Sequence[Setting], metric: str) -> list[str]:
    """The one that was asked for, and those of `METRICS` that every setting has."""
    names = dict.fromkeys((metric, *METRICS))
    return [name for name in names if all(s.finals(name) for s in settings)]


def results_table(settings: Sequence[Setting], metrics: Sequence[str]) -> str:
    """A row per setting: mean ± standard error of each metric, and mean costs."""
    head = ("Setting", "Seeds", *map(title_of, metrics), "Uploaded", "Key spent", "Time")
    rows = [
        (title, len(s.runs), *(_mean(s, name) for name in metrics), *_costs(s.runs))
        for title, s in zip(numbered(settings), settings, strict=True)
    ]
    return html.table(head, rows)


def numbered(settings: Sequence[Setting]) -> list[str]:
    """Titles, with numbers where figures have nothing else to call them by."""
    if labels_of(settings) != _numbers(settings):
        return [s.title for s in settings]
    return [f"{n} {s.title}" for n, s in zip(_numbers(settings), settings, strict=True)]


def labels_of(settings: Sequence[Setting], panels: bool = False) -> list[str]:
    """What figures call settings: short names, or numbers if these are too many or too alike.

    Args:
        settings: All of a page.
        panels: Whether settings of several panels share a figure.
    """
    short = [shorten(s.title if panels else s.name, LABEL_LETTERS) for s in settings]
    apart = {(label, "" if panels else s.panel) for s, label in zip(settings, short, strict=True)}
    few = len(apart) == len(settings) <= MAX_NAMED
    return short if few else _numbers(settings)


def _numbers(settings: Sequence[Setting]) -> list[str]:
    return [str(number) for number, _ in enumerate(settings, start=1)]


def _mean(setting: Setting, metric: str) -> str:
    values, digits = _final(setting, metric), 2 if metric in PERCENT else 4
    if not values:
        return MISSING
    found = estimate(values)
    if found.n < 2:
        return f"{found.mean:.{digits}f}"
    return f"{found.mean:.{digits}f} ± {found.se:.{digits}f}"


def _final(setting: Setting, metric: str) -> list[float]:
    scale = 100 if metric in PERCENT else 1
    return [scale * value for value in setting.finals(metric).values()]


def _costs(runs: Sequence[RunRecord]) -> tuple[str, str, str]:
    totals = [run.summary for run in runs]
    return (
        quantity(sum(t.upload_bytes for t in totals) // len(runs), "B"),
        quantity(sum(t.key_bits for t in totals) // len(runs), "bit"),
        duration(sum(t.seconds for t in totals) / len(runs)),
    )


def differences(settings: Sequence[Setting], metric: str) -> list[Difference]:
    """Comparisons within each panel, of settings that share at least two seeds.

    Adjusted for all of them together.
    """
    panels = dict.fromkeys(s.panel for s in settings)
    finals = {p: {s.name: s.finals(metric) for s in settings if s.panel == p} for p in panels}
    return paired_differences(finals, most=MAX_COMPARISONS)


def differences_table(found: Sequence[Difference], metric: str) -> str:
    """A row per comparison."""
    unit = " points" if metric in PERCENT else ""
    head = (
        "Difference",
        "Pairs",
        f"{capital(words_of(metric))}: mean",
        f"{CONFIDENCE:.0%} interval",
        "p",
        "p (Holm)",
        f"At {SIGNIFICANCE:.0%}",
    )
    return html.table(head, [_difference(d, metric, unit) for d in found])


def _difference(d: Difference, metric: str, unit: str) -> tuple[object, ...]:
    scale, digits = (100, 2) if metric in PERCENT else (1, 4)
    mean, low, high = (
        f"{scale * float(x):+.{digits}f}"
        for x in (d.estimate.mean, d.estimate.low, d.estimate.high)
    )
    tested = d.p == d.p
    return (
        f"{d.family}: " * bool(d.family) + f"{d.first} − {d.second}",
        d.estimate.n,
        mean + NARROW_SPACE * bool(unit) + unit.strip(),
        f"{low} to {high}",
        _p(d.p),
        _p(d.p_holm),
        ("significant" if d.significant else "not significant") if tested else MISSING,
    )


def _p(p: float) -> str:
    if p != p:
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def how_compared(found: Sequence[Difference]) -> str:
    """What the numbers of `differences_table` are, in words."""
    pairs = sorted({d.estimate.n for d in found})
    some = " to ".join(dict.fromkeys(str(n) for n in (pairs[0], pairs[-1])))
    return (
        f"The seed is the pair: it decides split, initialisation and cohorts of both settings. Two-"
        f"sided paired t-tests with {some} pairs each, which take the differences for normally "
        f"distributed; with so few, only large effects show, and none that does not show is shown "
        f"to be absent. Holm's method adjusts for {plural(len(found), 'comparison')}, so that one "
        f"false alarm among all has a chance of at most {SIGNIFICANCE:.0%}. Last round, not the "
        "best one."
    )


_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "²": r"$^2$",
    "·": r"$\cdot$",
}


def latex(words: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return "".join(_SPECIAL.get(letter, letter) for letter in words)


def latex_table(settings: Sequence[Setting], metrics: Sequence[str]) -> str:
    """The results as a `tabular` of the package booktabs: mean ± standard error over seeds."""
    heads = ("Setting", "Seeds", *map(title_of, metrics))
    rows = [(s.title, str(len(s.runs)), *(_mean(s, name) for name in metrics)) for s in settings]
    lines = [" & ".join(map(latex, cells)).replace("±", r"$\pm$") for cells in (heads, *rows)]
    return "\n".join(
        (
            "% fedket report --latex: mean and standard error over seeds, after the last round",
            f"\\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
            "\\toprule",
            lines[0] + r" \\",
            "\\midrule",
            *(line + r" \\" for line in lines[1:]),
            "\\bottomrule",
            "\\end{tabular}\n",
        )
    )
