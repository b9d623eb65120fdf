"""What several processes found, in figures: median, quartiles, range, and ratios pass by pass."""

from collections.abc import Sequence
from statistics import median, quantiles
from typing import Any

LOSS_TOLERANCE = 1e-4


def summary(processes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the spread of each figure and the last process's facts, or a note if one has it."""
    for process in processes:
        if "note" in process:
            return {"note": process["note"]}
    return {
        name: spread([process[name] for process in processes]) if isinstance(last, float) else last
        for name, last in processes[-1].items()
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return median, quartiles, range and the values themselves, in the order of the passes."""
    inner = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    rounded = [_rounded(value) for value in values]
    return {
        "median": _rounded(median(values)),
        "quartiles": [_rounded(inner[0]), _rounded(inner[2])],
        "range": [min(rounded), max(rounded)],
        "values": rounded,
    }


def paired(ours: dict[str, Any], theirs: dict[str, Any]) -> list[float]:
    """Return the ratios of two figures, pass by pass."""
    return [a / b for a, b in zip(ours["values"], theirs["values"], strict=True)]


def differs(record: dict[str, Any], everybody: list[dict[str, Any]]) -> str | None:
    """Return what is wrong if a loss is not that of the first side, fedket's."""
    losses = [r["loss"]["median"] for r in everybody if "loss" in r]
    if "loss" not in record or abs(record["loss"]["median"] - losses[0]) <= LOSS_TOLERANCE:
        return None
    return f"its loss is {record['loss']['median']:.8g}, not {losses[0]:.8g}"


def shown(figure: dict[str, Any]) -> str:
    """Return the median and, in brackets, the range."""
    low, high = figure["range"]
    return f"{figure['median']:.4g}" + (f" ({low:.4g} to {high:.4g})" if low < high else "")


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
