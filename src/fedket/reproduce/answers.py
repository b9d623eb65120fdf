"""The figure of an answer to an open question.

It shows rows (each seed, their mean and standard deviation), or what `fedket plateau --json`
printed into `plateau/`, `fedket leakage --json` into `leakage/`, or `fedket qkd rounds --json` into
`keys/`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from fedket.errors import ConfigError
from fedket.experiment.key_times import KeyTime
from fedket.experiment.leakage_study import LeakagePoint
from fedket.report.drawing import SERIES, STYLE, plain_log_ticks
from fedket.report.leakage_plot import paint_noise, paint_sums
from fedket.report.rate_plot import METADATA
from fedket.reproduce.questions import Answer
from fedket.reproduce.result import RowResult

T = TypeVar("T")

PLATEAU, LEAKAGE, KEYS = STUDIES = "plateau", "leakage", "keys"
"""Folders of stored results that hold no rows."""

_MARKERS = "os^DvPX*"


def draw_answer(answer: Answer, results: Sequence[RowResult], top: Path) -> Path:
    """Draw the figure of an answer; the same results, the same file.

    Args:
        answer: The answer; rows that are not stored are left out.
        results: All stored rows.
        top: Their folder.

    Raises:
        ConfigError: A stored study is missing or damaged.
    """
    path = (top / answer.figure).with_suffix(".svg")
    rows = {r.row: r for r in results if (r.paper, r.profile) == (answer.paper, "full")}
    page = {"figure.facecolor": "white", "legend.frameon": False}
    with matplotlib.style.context(STYLE | page, after_reset=True):
        columns = max(1, len(answer.plateau), len(answer.leakage))
        size = 3.2 * columns if columns > 1 else 6.4, 6.4 if answer.leakage else 3.6
        figure = Figure(figsize=size, layout="constrained")
        lines = 2 if answer.leakage else 1
        every, *below = figure.subplots(lines, columns, sharey=True, squeeze=False)
        for axes, (title, names) in zip(every, answer.plateau.items(), strict=False):
            _paint_plateau(axes, title, [_variances(top / PLATEAU / f"{n}.json") for n in names])
        for place, (title, names) in enumerate(answer.leakage.items()):
            runs = [_attacks(top / LEAKAGE / f"{name}.json") for name in names]
            every[place].set_title(title)
            paint_sums(every[place], runs)
            paint_noise(below[0][place], runs)
        if answer.keys:
            found = {
                label: _key_times(top / KEYS / f"{n}.json") for label, n in answer.keys.items()
            }
            _paint_keys(every[0], found)
        if answer.lines:
            _paint_lines(every[0], answer, rows)
        handles, labels = every[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)) or 1)
        figure.savefig(path, dpi=130, metadata=METADATA[".svg"])
    return path


def _paint_lines(axes: Axes, answer: Answer, rows: Mapping[str, RowResult]) -> None:
    width = 0.5 / len(answer.lines)
    for line, (label, names) in enumerate(answer.lines.items()):
        shift = (line - (len(answer.lines) - 1) / 2) * width  # so that bars do not hide each other
        kept = [(place, rows[name]) for place, name in enumerate(names) if name in rows]
        points = [(place + shift, row) for place, row in kept if row.mean is not None]
        colour = SERIES[line % len(SERIES)]
        axes.errorbar(
            [place for place, _ in points],
            [100 * (row.mean or 0) for _, row in points],
            [100 * (row.deviation or 0) for _, row in points],
            color=colour,
            marker=_MARKERS[line % len(_MARKERS)],
            capsize=3,
            linewidth=1.3,
            label=label,
        )
        for place, row in points:
            axes.plot([place] * len(row.values), 100 * np.array(row.values), "_", color=colour)
    axes.set_xticks(range(len(answer.ticks)), answer.ticks)
    axes.set_xlim(-0.5, len(answer.ticks) - 0.5)
    axes.set_xlabel(answer.axis)
    axes.set_ylabel("test accuracy, %")


def _paint_plateau(axes: Axes, title: str, found: Sequence[dict[str, Any]]) -> None:
    for line, study in enumerate(found):
        points = [point for point in study["points"] if point["variance"] > 0]
        axes.errorbar(
            [point["layers"] for point in points],
            [point["variance"] for point in points],
            [point["standard_error"] for point in points],
            color=SERIES[line % len(SERIES)],
            marker=_MARKERS[line % len(_MARKERS)],
            capsize=2,
            linewidth=1.3,
            label=f"{study['circuit']}, {study['points'][0]['qubits']} qubits",
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    plain_log_ticks(axes.yaxis)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("layers")
    axes.set_title(title)
    if axes.get_subplotspec().is_first_col():  # type: ignore[union-attr]
        axes.set_ylabel("variance of the gradient")


def _paint_keys(axes: Axes, found: Mapping[str, Sequence[KeyTime]]) -> None:
    for line, (label, times) in enumerate(found.items()):
        axes.plot(
            [time.clients for time in times],
            [time.seconds_per_round or np.nan for time in times],
            color=SERIES[line % len(SERIES)],
            marker=_MARKERS[line % len(_MARKERS)],
            linewidth=1.3,
            label=label,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    numbers = sorted({time.clients for times in found.values() for time in times})
    axes.set_xticks(numbers, [f"{number}" for number in numbers])
    axes.set_xticks([], minor=True)
    axes.set_yticks(list(_SPANS.values()), list(_SPANS))
    axes.set_yticks([], minor=True)
    axes.set_xlabel("clients")
    axes.set_ylabel("time to make a round's key")


_SPANS = {"10 ms": 0.01, "1 s": 1.0, "1 min": 60.0, "1 h": 3600.0, "1 day": 86400.0}


def _key_times(path: Path) -> list[KeyTime]:
    return _stored(path, "qkd rounds", lambda found: [KeyTime(**p) for p in found["points"]])


def _attacks(path: Path) -> list[LeakagePoint]:
    return _stored(path, "leakage", lambda found: [LeakagePoint(**p) for p in found["points"]])


def _variances(path: Path) -> dict[str, Any]:
    def read(found: dict[str, Any]) -> dict[str, Any]:
        [(p["layers"], p["qubits"], p["variance"], p["standard_error"]) for p in found["points"]]
        str(found["circuit"])
        return found

    return _stored(path, "plateau", read)


def _stored(path: Path, command: str, read: Callable[[dict[str, Any]], T]) -> T:
    """Read what a command printed.

    Raises:
        ConfigError: The file is missing or damaged.
    """
    try:
        return read(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"{path} does not hold what `fedket {command} --json` prints: {error}"
        ) from None
