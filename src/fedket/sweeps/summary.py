"""A sweep in a line per setting: mean over seeds, and its difference from the first setting."""

from collections import defaultdict
from typing import Any

from fedket.report.statistics import estimate, paired_differences
from fedket.sweeps.plan import label
from fedket.sweeps.table import Row, SweepTable, settings_in

OF_A_SETTING = (
    "metric",
    "seeds",
    "mean",
    "se",
    "low",
    "high",
    "difference",
    "difference_se",
    "p",
)
"""What a row of `by_setting` holds beside the grid's keys."""


def by_setting(table: SweepTable, metric: str = "") -> tuple[Row, ...]:
    """Means of finished runs over their seeds.

    Args:
        table: Of a sweep.
        metric: A column of the table; empty for `test_accuracy`, or `test_loss` where there is no
            accuracy.

    Returns:
        One row per setting with a finished run: the grid's keys, `metric`, `seeds` (how many),
        `mean`, `se` (standard error), `low` and `high` (95 %, Student's t), `difference` (from the
        first setting, mean over the seeds of both), `difference_se`, and `p` (paired t-test,
        adjusted by Holm's method for all of them); None where there is nothing to say.
    """
    metric = metric or _metric(table)
    settings: dict[str, dict[int, float]] = defaultdict(dict)
    about: dict[str, Row] = {}
    for row in table.rows:
        values = settings_in(row)
        name = label(values)
        if row["status"] == "finished" and row[metric] is not None:
            settings[name][row["seed"]] = row[metric]
            about[name] = values
    compared = {gap.first: gap for gap in paired_differences({"": settings}, 0)}
    rows = []
    for name, of_seeds in settings.items():
        mean, gap = estimate(list(of_seeds.values())), compared.get(name)
        numbers = {
            **{key: getattr(mean, key) for key in ("mean", "se", "low", "high")},
            "difference": gap and gap.estimate.mean,
            "difference_se": gap and gap.estimate.se,
            "p": gap and gap.p_holm,
        }
        known = {key: _known(number) for key, number in numbers.items()}
        rows.append({**about[name], "metric": metric, "seeds": mean.n, **known})
    return tuple(rows)


def _metric(table: SweepTable) -> str:
    known = any(row["test_accuracy"] is not None for row in table.rows)
    return "test_accuracy" if known else "test_loss"


def _known(number: Any) -> float | None:
    """A number as Python's; None for NaN."""
    return None if number is None or number != number else float(number)
