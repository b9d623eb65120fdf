"""A sweep in a line per setting: mean over seeds, and its difference from the first setting."""

from collections import defaultdict
from typing import Any

from fedket.report.statistics import estimate, paired_differences
from fedket.sweeps.table import OF_A_RUN, Row, SweepTable


def by_setting(table: SweepTable, metric: str = "") -> tuple[Row, ...]:
    """Means of finished runs over their seeds.

    Args:
        table: Of a sweep.
        metric: What is averaged, a column of the table; empty for `test_accuracy`, or `test_loss`
            where there is none.

    Returns:
        One row per setting with a finished run: the grid's keys, `metric`, `seeds`, `mean`, `se`
        (standard error), `low` and `high` (95 %, Student's t), `difference` (from the first
        setting, mean over the seeds of both), `difference_se` and `p` (paired t-test, adjusted by
        Holm's method); None where there is nothing to say.
    """
    metric = metric or _metric(table)
    keys = [key for key in (table.rows[0] if table.rows else ()) if key not in _OF_TABLE]
    settings: dict[tuple[Any, ...], dict[int, float]] = defaultdict(dict)
    for row in table.rows:
        if row["status"] == "finished" and row[metric] is not None:
            settings[tuple(repr(row[key]) for key in keys)][row["seed"]] = row[metric]
    values = {tuple(repr(row[key]) for key in keys): row for row in table.rows}
    names = {", ".join(name): name for name in settings}
    first = next(iter(names), None)
    gaps = paired_differences({n: settings[names[n]] for n in names}, first)
    differences = {gap.first: gap for gap in gaps}
    rows = []
    for name, of_seeds in settings.items():
        mean, gap = estimate(list(of_seeds.values())), differences.get(", ".join(name))
        row = {key: values[name][key] for key in keys}
        numbers = {
            "mean": mean.mean,
            "se": mean.se,
            "low": mean.low,
            "high": mean.high,
            "difference": gap.estimate.mean if gap else None,
            "difference_se": gap.estimate.se if gap else None,
            "p": gap.p_holm if gap else None,
        }
        rows.append({**row, "metric": metric, "seeds": mean.n, **_known(numbers)})
    return tuple(rows)


_OF_TABLE = {"run", "seed", "status", "problem", *OF_A_RUN}


def _metric(table: SweepTable) -> str:
    known = any(row["test_accuracy"] is not None for row in table.rows)
    return "test_accuracy" if known else "test_loss"


def _known(numbers: dict[str, Any]) -> dict[str, float | None]:
    """Numbers as Python's; what is not known is None."""
    found = {key: None if n is None else float(n) for key, n in numbers.items()}
    return {key: n if n == n else None for key, n in found.items()}
