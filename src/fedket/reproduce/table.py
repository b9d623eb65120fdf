"""The table of a paper as cells, and as Markdown that reads well as plain text too."""

from collections.abc import Iterable, Sequence

from fedket.report.wording import MISSING, plural, quantity
from fedket.reproduce.result import FEWEST_SEEDS, RowResult

COLUMNS = (
    "Row",
    "Ours, mean ± s. d.",
    "95 % interval",
    "Paper",
    "Difference",
    "Seeds",
    "Rounds",
    "Key spent",
    "Uploaded",
    "Configuration",
    "Note",
)
METRICS = {
    "test_accuracy": "test accuracy",
    "averaged_test_accuracy": "mean of models along the path",
    "test_loss": "test loss",
    "train_loss": "training loss",
}
HASH_DIGITS = 12
NAMED_ROWS = 4
"""Up to this many rows are named, more are counted."""
LESS_THAN_FULL = {
    "fast": "Fast profile: shortened, to show that everything runs. Not the paper's experiment.",
    "rounds": "Stopped early, see the column Rounds. Not the whole of the paper's experiment.",
}


def heading(paper: str, profile: str) -> str:
    """Names the paper and, unless everything was run, the profile."""
    return paper if profile == "full" else f"{paper}, profile {profile}"


def warning(profile: str) -> str:
    """What a reader must know of a profile before its numbers; empty for the full one."""
    return LESS_THAN_FULL.get(profile.partition("-")[0], "")


def cells(result: RowResult) -> tuple[str, ...]:
    """One row of the table, a text for each of `COLUMNS`."""
    return (
        result.title,
        _ours(result),
        interval_text(result.interval, result.metric),
        _value(result.reported, result.metric),
        _difference(result),
        ", ".join(str(seed.seed) for seed in result.seeds) or MISSING,
        _rounds(result),
        _largest([seed.key_bits for seed in result.seeds], "bit"),
        _largest([seed.upload_bytes for seed in result.seeds], "B"),
        result.config_sha256[:HASH_DIGITS] or MISSING,
        "; ".join(remarks(result)) or MISSING,
    )


def remarks(result: RowResult) -> list[str]:
    """What the number of a row does not tell."""
    found = []
    if not result.seeds:
        return ["not run, see below" if result.problem else "not run"]
    if result.metric != "test_accuracy":
        found.append(METRICS[result.metric])
    if len(result.seeds) < FEWEST_SEEDS:
        found.append(f"only {plural(len(result.seeds), 'seed')}")
    if len(result.values) < len(result.seeds):
        found.append(f"{len(result.seeds) - len(result.values)} not finite")
    if result.problem:
        found.append("seeds missing, see below")
    if result.differs:
        found.append("differs")
    return found


def problems(results: Iterable[RowResult]) -> list[tuple[str, str]]:
    """Title of a row, and why runs of it are missing."""
    return [(result.title, result.problem) for result in results if result.problem]


def assumptions(results: Sequence[RowResult]) -> list[tuple[str, str]]:
    """Every value that the paper does not state, with the rows it is used in."""
    users: dict[str, list[str]] = {}
    for result in results:
        for assumption in result.assumptions:
            users.setdefault(assumption, []).append(result.title)
    return [(words, used_in(rows, len(results))) for words, rows in users.items()]


def used_in(rows: Sequence[str], total: int) -> str:
    """The rows that share an assumption, in words."""
    if len(rows) == total:
        return "all rows"
    return ", ".join(rows) if len(rows) <= NAMED_ROWS else f"{len(rows)} of {total} rows"


def sources(results: Sequence[RowResult]) -> str:
    """Where the paper prints the numbers."""
    return "; ".join(dict.fromkeys(result.source for result in results))


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are aligned in plain text."""
    lines = [[_escaped(cell) for cell in row] for row in (head, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |\n"
        for line in lines
    )


def document(paper: str, results: Sequence[RowResult]) -> str:
    """The table with everything that belongs beside it, as Markdown."""
    return joined([f"# {heading(paper, results[0].profile)}\n", *parts(results)])


def parts(results: Sequence[RowResult], why: str = "", left: str = "") -> list[str]:
    """What stands below a heading: a warning, the table, and what is to be said of its rows.

    Args:
        results: Rows of one paper and profile.
        why: Why rows differ from the paper.
        left: What is left to run.
    """
    return [
        warning(results[0].profile),
        markdown_table(COLUMNS, [cells(result) for result in results]),
        why,
        bullets("Not run", problems(results)),
        left,
        bullets("Values that the paper does not state", assumptions(results)),
        f"Sources: {sources(results)}.\n",
    ]


def joined(texts: Iterable[str]) -> str:
    """Paragraphs with a line between them; empty ones are left out."""
    return "\n".join(text.rstrip("\n") + "\n" for text in texts if text)


def bullets(title: str, pairs: Sequence[tuple[str, str]]) -> str:
    """A titled list of terms with what is to be said about them; empty without any."""
    items = "".join(f"- {term}: {words}\n" for term, words in pairs)
    return f"{title}:\n\n{items}" if pairs else ""


def _ours(result: RowResult) -> str:
    if result.deviation is None or result.mean is None:
        return _value(result.mean, result.metric)
    factor, digits, unit = _scale(result.metric)
    return f"{factor * result.mean:.{digits}f} ± {factor * result.deviation:.{digits}f}{unit}"


def _value(value: float | None, metric: str) -> str:
    factor, digits, unit = _scale(metric)
    return MISSING if value is None else f"{factor * value:.{digits}f}{unit}"


def interval_text(ends: tuple[float, float] | None, metric: str = "test_accuracy") -> str:
    """From the lower to the upper end, in the unit of the metric."""
    factor, digits, unit = _scale(metric)
    if ends is None:
        return MISSING
    return " to ".join(f"{factor * end:.{digits}f}" for end in ends) + unit


def _difference(result: RowResult) -> str:
    if result.difference is None:
        return MISSING
    factor, digits, unit = _scale(result.metric)
    number = f"{factor * result.difference:+.{digits}f}".replace("-", "−")
    return f"{number} points" if unit else number


def _scale(metric: str) -> tuple[int, int, str]:
    """Factor, decimals and unit of a metric."""
    return (100, 2, " %") if metric.endswith("accuracy") else (1, 4, "")


def _rounds(result: RowResult) -> str:
    if not result.seeds:
        return MISSING
    whole = result.rounds == result.planned_rounds
    return str(result.rounds) if whole else f"{result.rounds} of {result.planned_rounds}"


def _largest(values: Sequence[int], unit: str) -> str:
    """A total per run; the largest if the seeds differ."""
    return quantity(max(values), unit) if values else MISSING


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")
