"""Which round had the best model, and when more rounds are in vain: by the validation split alone.

Both are functions of the records, so a resumed run chooses and stops as an uninterrupted one.
"""

from collections.abc import Sequence
from typing import Literal

from fedket.record import RoundRecord
from fedket.schema import NonNegativeFloat, PositiveInt, Table

Metric = Literal["loss", "accuracy"]


class EarlyStoppingConfig(Table):
    """When a run ends before its last round."""

    patience: PositiveInt = 10
    """Rounds without an improvement on the validation split."""
    min_delta: NonNegativeFloat = 0.0
    """What is at most this much better is no improvement."""


def score_of(record: RoundRecord, metric: Metric) -> float | None:
    """A round on the validation split, larger is better; None without evaluation."""
    if metric == "accuracy":
        return record.validation_accuracy
    loss = record.validation_loss
    return None if loss is None else -loss


def best_round(
    records: Sequence[RoundRecord], metric: Metric, min_delta: float = 0.0
) -> int | None:
    """The round with the best validation score, the first of equals; None without any.

    With `min_delta` the last round that improved on the best before it by more than that.
    """
    best, found = 0.0, None
    for record in records:
        score = score_of(record, metric)
        if score is not None and (found is None or score > best + min_delta):
            best, found = score, record.round
    return found


def stops(
    records: Sequence[RoundRecord], metric: Metric, stopping: EarlyStoppingConfig | None
) -> str:
    """Why no more rounds are run after one that was evaluated; empty if there is no reason."""
    if stopping is None or not records or score_of(records[-1], metric) is None:
        return ""
    best, last = best_round(records, metric, stopping.min_delta), records[-1].round
    if best is None or last - best < stopping.patience:
        return ""
    return f"no better validation {metric} for {last - best} rounds, since round {best}"
