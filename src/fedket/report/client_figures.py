"""Figures of one run over its clients, for one client as for 100,000.

Up to `MAX_BUBBLES` dots the clients are drawn one by one; beyond, quantiles over clients are.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.ticker import FixedLocator, MaxNLocator

from fedket.report.drawing import (
    FONT_POINTS,
    HEIGHT_INCHES,
    MUTED,
    SERIES,
    WIDTH_INCHES,
    EndLabel,
    label_ends,
    plain_log_ticks,
    round_axis,
    thin,
)
from fedket.report.figures import percent_axis
from fedket.report.run_record import QUANTILES, RunRecord
from fedket.report.wording import NARROW_SPACE, count, plural

MAX_CLIENTS_AS_BUBBLES = 40
MAX_BUBBLES = 600
MAX_CLIENTS_AS_DOTS = 500
MAX_CLASSES = 24


def paint_client_spread(ax: Axes, record: RunRecord) -> str:
    """Quantiles over clients of the global model's accuracy on their own samples, by round."""
    evaluated = list(record.client_quantiles)
    rounds = [evaluated[i] for i in thin(len(evaluated))]
    lowest, low, median, high, highest = (
        100 * np.array([record.client_quantiles[number] for number in rounds]).T
    )
    paint_band(ax, rounds, lowest, highest, 0.14)
    if record.evaluated_clients >= 10:
        paint_band(ax, rounds, low, high, 0.22, "middle 80 %")
    marker = "o" if len(rounds) == 1 else ""
    ax.plot(rounds, median, color=SERIES[0], marker=marker, clip_on=False, label="median client")
    percent_axis(ax)
    round_axis(ax, len(record.rounds))
    ax.set_title("accuracy on a client's own samples, %")
    label_ends(ax, _spread_labels(record.evaluated_clients, lowest[-1], median[-1], highest[-1]))
    if record.num_clients == 1:
        return "Global model on the only client's training samples."
    middle = "dark band: the middle 80 % of clients, " if record.evaluated_clients >= 10 else ""
    return (
        f"Global model on the own training samples of {_evaluated(record)}; line: median client, "
        f"{middle}light band: lowest to highest."
    )


def _evaluated(record: RunRecord) -> str:
    """Which clients a round was evaluated on, in words."""
    if record.evaluated_clients == record.num_clients:
        return "each client"
    return (
        f"the clients that were drawn for the round ({count(record.evaluated_clients)} of "
        f"{count(record.num_clients)}, others each round)"
    )


def paint_band(
    ax: Axes,
    x: Sequence[int | float],
    low: np.ndarray,
    high: np.ndarray,
    alpha: float,
    label: str = "all clients",
) -> None:
    """Shade what lies between two curves."""
    ax.fill_between(x, low, high, color=SERIES[0], alpha=alpha, linewidth=0, label=label)


def _spread_labels(clients: int, low: float, median: float, high: float) -> list[EndLabel]:
    if clients == 1:
        return [EndLabel(median, f"{median:.1f}{NARROW_SPACE}%", SERIES[0])]
    return [
        EndLabel(low, f"lowest {low:.0f}", MUTED),
        EndLabel(median, f"median {median:.0f}", SERIES[0]),
        EndLabel(high, f"highest {high:.0f}", MUTED),
    ]


def sizes_differ(samples: np.ndarray) -> bool:
    """Whether clients hold so different numbers of samples that an axis of them says something."""
    return len(samples) > 2 and float(samples.max()) > 1.1 * float(samples.min())


def paint_final_clients(ax: Axes, record: RunRecord) -> str:
    """Last accuracy of each client against its number of samples, or sorted if all hold alike."""
    everyone = np.asarray(record.client_accuracy, dtype=float)
    clients = np.flatnonzero(~np.isnan(everyone))
    accuracy = 100 * everyone[clients]
    samples = record.label_counts.sum(axis=1)[clients]
    if not sizes_differ(samples):
        _paint_sorted(ax, accuracy)
        how = (
            f"The clients hold almost equally many samples (about {count(int(np.median(samples)))})"
        )
    elif len(samples) <= MAX_CLIENTS_AS_DOTS:
        (dots,) = ax.plot(samples, accuracy, "o", color=SERIES[0], alpha=0.75, mew=0, clip_on=False)
        dots.set_label("clients")
        _label_lowest(ax, clients, samples, accuracy)
        how = f"Each dot is one client with {_size_range(samples)}"
    else:
        _paint_bins(ax, samples, accuracy)
        how = (
            f"{count(len(samples))} clients with {_size_range(samples)}, grouped by size: median, "
            "middle 80 %, and lowest to highest"
        )
    if sizes_differ(samples):
        _samples_axis(ax, samples)
    percent_axis(ax)
    ax.set_title("accuracy on a client's own samples, %")
    drawn = len(everyone) > record.evaluated_clients
    who = f", the {count(len(clients))} clients drawn for it" if drawn else ""
    return f"After round {max(record.client_quantiles)}{who}. {how}."


def _samples_axis(ax: Axes, samples: np.ndarray) -> None:
    logarithmic = samples.min() > 0 and samples.max() > 20 * samples.min()
    if logarithmic:
        ax.set_xscale("log")
        plain_log_ticks(ax.xaxis)
    ax.set_xlabel(
        f"training samples of the client{' (logarithmic)' if logarithmic else ''}", loc="right"
    )


def _size_range(samples: np.ndarray) -> str:
    if samples.min() == samples.max():
        return plural(int(samples.min()), "sample")
    return f"{count(int(samples.min()))} to {count(int(samples.max()))} samples"


def _paint_sorted(ax: Axes, accuracy: np.ndarray) -> None:
    ranks = thin(len(accuracy))
    marker = "o" if len(accuracy) <= 100 else ""
    (line,) = ax.plot(ranks + 1, np.sort(accuracy)[ranks], color=SERIES[0], marker=marker)
    line.set(linewidth=1.2, label="clients, sorted")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.set_xlim(0.5, len(accuracy) + 0.5)
    ax.set_xlabel("clients, lowest accuracy first", loc="right")


def _label_lowest(ax: Axes, clients: np.ndarray, samples: np.ndarray, accuracy: np.ndarray) -> None:
    worst = int(np.argmin(accuracy))
    left = samples[worst] <= (samples.min() + samples.max()) / 2
    ax.annotate(
        f"client {clients[worst]}",
        (float(samples[worst]), float(accuracy[worst])),
        xytext=(7 if left else -7, 0),
        textcoords="offset points",
        ha="left" if left else "right",
        va="center_baseline",
        color=MUTED,
    )


def _paint_bins(ax: Axes, samples: np.ndarray, accuracy: np.ndarray) -> None:
    """Quantiles within groups of clients of like size, equally many clients in each."""
    groups = np.array_split(np.argsort(samples, kind="stable"), 14)
    centres = [float(np.median(samples[g])) for g in groups]
    quantiles = np.array([np.quantile(accuracy[g], QUANTILES) for g in groups]).T
    paint_band(ax, centres, quantiles[0], quantiles[4], 0.14)
    paint_band(ax, centres, quantiles[1], quantiles[3], 0.22, "middle 80 %")
    ax.plot(centres, quantiles[2], "o-", color=SERIES[0], label="median client")


def fits_bubbles(label_counts: np.ndarray) -> bool:
    """Whether every client can have its own column of dots."""
    clients, classes = map(int, label_counts.shape)
    return clients <= MAX_CLIENTS_AS_BUBBLES and clients * min(classes, MAX_CLASSES) <= MAX_BUBBLES


def fold_classes(label_counts: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Columns and their names; beyond `MAX_CLASSES` the rarest become one column `rest`."""
    classes = label_counts.shape[1]
    if classes <= MAX_CLASSES:
        return label_counts, [str(label) for label in range(classes)]
    order = np.argsort(-label_counts.sum(axis=0), kind="stable")
    kept = np.sort(order[: MAX_CLASSES - 1])
    rest = label_counts.sum(axis=1) - label_counts[:, kept].sum(axis=1)
    return np.column_stack([label_counts[:, kept], rest]), [*map(str, kept), "rest"]


def paint_labels(ax: Axes, record: RunRecord) -> str:
    """How the classes are dealt to the clients."""
    label_counts, names = fold_classes(record.label_counts)
    if fits_bubbles(record.label_counts):
        _paint_bubbles(ax, label_counts)
        what = "The area of a dot is the number of training samples of that class at that client"
    else:
        _paint_label_quantiles(ax, label_counts)
        what = (
            f"Over {count(record.num_clients)} clients: dot the median, thick line the middle "
            "half, thin line 5 to 95 %; the upright tick is the class's share in all data"
        )
    ax.set_ylim(-0.7, len(names) - 0.3)
    ax.yaxis.set_major_locator(FixedLocator(range(len(names))))
    if record.label_counts.shape[1] == 1:
        names = ["all"]
        what = (
            "The area of a dot is the number of training samples at that client; which classes "
            "they are only the client knows"
        )
    ax.set_yticklabels(names, fontsize=FONT_POINTS if len(names) <= 14 else 7)
    ax.grid(visible=False)
    rest = ""
    if record.facts.num_classes > MAX_CLASSES:
        rest = f" The {record.facts.num_classes - MAX_CLASSES + 1} rarest classes are drawn as one."
    return f"{what}. A client holds {_size_range(record.label_counts.sum(axis=1))}.{rest}"


def _paint_bubbles(ax: Axes, label_counts: np.ndarray) -> None:
    clients, classes = label_counts.shape
    cell = 72 * min(0.88 * WIDTH_INCHES / max(clients, 4), 0.74 * HEIGHT_INCHES / classes)
    client_ids, labels = np.nonzero(label_counts)
    counts = label_counts[client_ids, labels]
    areas = (0.96 * min(cell, 30.0)) ** 2 * counts / counts.max(initial=1)
    one = ListedColormap([SERIES[0]])
    dots = ax.scatter(client_ids, labels, s=areas, c=counts, cmap=one, alpha=0.8, linewidths=0)
    dots.set_label("training samples")
    ax.set_xlim(-0.7, clients - 0.3)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
    ax.set_xlabel("client", loc="right")
    ax.set_title(f"class (largest dot: {count(int(counts.max(initial=0)))} samples)")


def _paint_label_quantiles(ax: Axes, label_counts: np.ndarray) -> None:
    """Per class: overall share (tick) and, over clients, median, middle half and 5 to 95 %."""
    sizes = label_counts.sum(axis=1, keepdims=True)
    shares = 100 * label_counts / np.maximum(sizes, 1)
    overall = 100 * label_counts.sum(axis=0) / max(math.floor(sizes.sum()), 1)
    rows = np.arange(label_counts.shape[1])
    low, quarter, median, three_quarters, high = np.quantile(
        shares, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0
    )
    ax.hlines(rows, low, high, color=SERIES[0], linewidth=1.2)
    ax.hlines(rows, quarter, three_quarters, color=SERIES[0], linewidth=5, alpha=0.45)
    ax.plot(
        overall, rows, "|", color=SERIES[1], markersize=9, markeredgewidth=1.8, label="all data"
    )
    ax.plot(median, rows, "o", color=SERIES[0], markersize=4.5, label="median client")
    ax.set_xlim(left=min(-1.0, -0.02 * float(high.max())))
    ax.set_xlabel("share of the class in a client's samples, %", loc="right")
    ax.set_title("class")
