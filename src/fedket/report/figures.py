"""Figures of one run over its rounds: each draws a `RunRecord` and returns the caption."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from fedket.report.drawing import (
    DASHES,
    MUTED,
    SERIES,
    EndLabel,
    label_ends,
    plain_log_ticks,
    round_axis,
    thin,
)
from fedket.report.run_record import RunRecord
from fedket.report.wording import (
    NARROW_SPACE,
    decimal_prefix,
    duration,
    percent,
    plural,
    quantity,
    three_digits,
)

MIN_SPAN = 8.0
"""Least height of a percentage axis, in points: noise of a test set must not fill it."""
WIDE = 50.0
"""Ratio of largest to smallest value from which an axis is logarithmic."""
MAX_BARS = 60
CLOCK_AXIS = "simulated time, s"


def curve(record: RunRecord, name: str) -> tuple[np.ndarray, np.ndarray]:
    """`RunRecord.series`, thinned to what can be drawn."""
    rounds, values = record.series(name)
    some = thin(len(rounds))
    return rounds[some], values[some]


def marker_for(num_points: int) -> str:
    """Few points are marked, many are a line."""
    return "o" if num_points <= 15 else ""


def percent_axis(ax: Axes) -> None:
    """Keep a percentage axis within what can be, and at least `MIN_SPAN` points high."""
    low, high = ax.get_ylim()
    missing = max(MIN_SPAN - (high - low), 0)
    ax.set_ylim(max(low - missing / 2, -1), min(high + missing / 2, 101))


def paint_accuracy(ax: Axes, record: RunRecord) -> str:
    """Test accuracy over rounds, with the line of guessing where it is in sight."""
    rounds, accuracy = curve(record, "test_accuracy")
    accuracy = 100 * accuracy
    (line,) = ax.plot(rounds, accuracy, color=SERIES[0], clip_on=False, label="test accuracy")
    line.set_marker(marker_for(len(rounds)))
    _paint_guessing(ax, 100 / record.facts.num_classes)
    percent_axis(ax)
    round_axis(ax, len(record.rounds))
    ax.set_title("test accuracy, %")
    label_ends(ax, [EndLabel(accuracy[-1], f"{accuracy[-1]:.1f}{NARROW_SPACE}%", SERIES[0])])
    best = max(record.rounds, key=lambda r: -1.0 if r.test_accuracy is None else r.test_accuracy)
    return (
        f"Global model on {plural(record.facts.num_test, 'test sample')}; "
        f"best {percent(best.test_accuracy)} in round {best.round}."
    )


def paint_clock(ax: Axes, record: RunRecord) -> str:
    """Test accuracy over simulated time."""
    rounds, accuracy = curve(record, "test_accuracy")
    clock = clock_of(record)[rounds.astype(int) - 1]
    (line,) = ax.plot(clock, 100 * accuracy, color=SERIES[0], clip_on=False, label="test accuracy")
    line.set_marker(marker_for(len(rounds)))
    percent_axis(ax)
    ax.set_xlim(0, clock[-1] or 1.0)
    ax.set_xlabel(CLOCK_AXIS, loc="right")
    ax.set_title("test accuracy, %")
    return (
        f"The same over the {duration(clock[-1])} that the rounds would take under [conditions]; "
        f"a round takes {duration(clock[-1] / len(record.rounds))} on average."
    )


def clock_of(record: RunRecord) -> np.ndarray:
    """Simulated seconds after each round, shape (rounds,)."""
    return np.cumsum([r.simulated_s or 0.0 for r in record.rounds])


def paint_staleness(ax: Axes, record: RunRecord) -> str:
    """How old the models were that asynchronous updates began from."""
    ages = np.array([age for r in record.rounds for age in r.staleness.values()])
    counts = np.bincount(ages)
    some = np.flatnonzero(counts)
    ax.bar(some, 100 * counts[some] / len(ages), width=0.7, color=SERIES[4], label="updates")
    ax.set_xlim(-0.6, max(len(counts) - 0.4, 3))
    ax.set_xlabel("rounds", loc="right")
    ax.set_title("share of updates, %")
    return (
        f"By how many rounds the model was old that an update began from; "
        f"{ages.mean():.2g} on average, {ages.max()} at most."
    )


def _paint_guessing(ax: Axes, level: float) -> None:
    low, high = ax.get_ylim()
    if low <= level <= high:
        ax.axhline(level, color=MUTED, linewidth=0.9, linestyle=(0, (2, 3)))
        ax.annotate(
            "guessing",
            (0.99, level),
            xycoords=ax.get_yaxis_transform(),
            xytext=(0, 3),
            textcoords="offset points",
            color=MUTED,
            ha="right",
        )


def paint_loss(ax: Axes, record: RunRecord) -> str:
    """Training, test and validation loss over rounds."""
    labels = []
    for field, name, colour, dash in (
        ("train_loss", "train", SERIES[1], DASHES[1]),
        ("test_loss", "test", SERIES[0], DASHES[0]),
        ("validation_loss", "validation", SERIES[2], DASHES[2]),
    ):
        rounds, values = curve(record, field)
        if len(values):
            marker = marker_for(len(rounds))
            (line,) = ax.plot(
                rounds, values, color=colour, linestyle=dash, clip_on=False, label=name
            )
            line.set_marker(marker)
            labels.append(EndLabel(values[-1], f"{name} {three_digits(float(values[-1]))}", colour))
    round_axis(ax, len(record.rounds))
    ax.set_title("loss")
    log_if_wide(ax)
    label_ends(ax, labels)
    left_out = any(r.test_accuracy is not None and r.test_loss is None for r in record.rounds)
    rest = " Values that are not finite are left out." if left_out else ""
    return (
        "Train: mean over the cohort's local training, weighted by samples. Test: global model on "
        f"the test set{_best(record)}.{rest}"
    )


def _best(record: RunRecord) -> str:
    best = record.summary.best_round
    return "" if best is None else f", validation: on the validation split, best in round {best}"


def log_if_wide(ax: Axes) -> None:
    """Use a logarithmic axis where positive values span more than `WIDE`, and say so."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in ax.lines])
    if values.min() > 0 and values.max() > WIDE * values.min():
        ax.set_yscale("log")
        plain_log_ticks(ax.yaxis)
        ax.set_title(f"{ax.get_title('left')} (logarithmic)")


def paint_traffic(ax: Axes, record: RunRecord) -> str:
    """Bytes sent since the start, both ways."""
    _paint_totals(
        ax,
        "bytes so far",
        "B",
        [
            ("down ", [r.download_bytes for r in record.rounds], SERIES[1], DASHES[1]),
            ("up ", [r.upload_bytes for r in record.rounds], SERIES[0], DASHES[0]),
        ],
    )
    return (
        "All clients together, summed over rounds, counted from the messages' contents; one "
        f"upload is {quantity(record.facts.upload_bytes_per_client, 'B')} per client."
    )


def paint_key_bits(ax: Axes, record: RunRecord) -> str:
    """Key bits spent since the start."""
    spent = [r.key_bits for r in record.rounds]
    _paint_totals(ax, "key so far", "bit", [("", spent, SERIES[3], DASHES[0])])
    return (
        "All pairs together, summed over rounds; a pair's pad of "
        f"{quantity(record.facts.key_bits_per_pair, 'bit')} counts once and is never used again."
    )


def _paint_totals(
    ax: Axes,
    title: str,
    unit: str,
    lines: Sequence[tuple[str, Sequence[int], str, Any]],
) -> None:
    """Running totals from round 0; a line is its name, its values by round, colour and dash."""
    totals = [np.cumsum([0.0, *map(float, values)]) for _, values, _, _ in lines]
    factor, prefix = decimal_prefix(max(total[-1] for total in totals))
    labels = []
    for (name, _, colour, dash), total in zip(lines, totals, strict=True):
        some = thin(len(total))
        ax.plot(
            some, total[some] / factor, color=colour, linestyle=dash, label=name.strip() or title
        )
        text = f"{name}{quantity(int(total[-1]), unit)}"
        labels.append(EndLabel(total[-1] / factor, text, colour))
    ax.set_ylim(bottom=0)
    round_axis(ax, len(totals[0]) - 1)
    ax.set_title(f"{title}, {prefix}{unit}")
    label_ends(ax, labels)


def paint_seconds(ax: Axes, record: RunRecord) -> str:
    """Wall time of each round; the first, which compiles, often stands out."""
    seconds = np.array([r.seconds for r in record.rounds])
    median = float(np.median(seconds))
    wide = bool(seconds.min() > 0 and seconds.max() > WIDE * median)
    paint_by_round(ax, "seconds per round", seconds, SERIES[6], wide=wide)
    ax.axhline(median, color=MUTED, linewidth=0.9, linestyle=(0, (2, 3)))
    label_ends(ax, [EndLabel(median, f"median {duration(median)}", MUTED)])
    where = "at the server" if record.facts.at_sites else "on the simulating machine"
    return (
        f"Wall time {where}, evaluation included; the first round "
        f"({duration(record.rounds[0].seconds)}) also holds what is compiled on first use."
    )


def paint_by_round(
    ax: Axes, title: str, values: np.ndarray, colour: str, *, wide: bool = False
) -> None:
    """A value of each round: bars, a line if there are many, dots on a logarithm if `wide`."""
    rounds, some = np.arange(1, len(values) + 1), thin(len(values))
    if wide:
        (dots,) = ax.plot(rounds[some], values[some], "o", color=colour, clip_on=False, label=title)
        dots.set_markersize(3)
    elif len(values) <= MAX_BARS:
        ax.bar(rounds, values, width=0.7, color=colour, label=title)
    else:
        ax.plot(rounds[some], values[some], color=colour, linewidth=1.1, label=title)
    round_axis(ax, len(values))
    ax.set_xlim(0, len(values) + 0.5)
    ax.set_title(title)
    if wide:
        log_if_wide(ax)
    else:
        ax.set_ylim(bottom=0)
