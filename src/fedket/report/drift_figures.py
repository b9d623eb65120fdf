"""Figures of client drift, if a run recorded it: length and agreement of updates over rounds."""

import numpy as np
from matplotlib.axes import Axes

from fedket.report.client_figures import paint_band
from fedket.report.drawing import MUTED, SERIES, EndLabel, label_ends, round_axis, thin
from fedket.report.figures import log_if_wide, marker_for
from fedket.report.run_record import RunRecord
from fedket.report.wording import three_digits


def paint_norms(ax: Axes, record: RunRecord) -> str:
    """Length of clients' updates."""
    _paint_range(ax, record, "norm")
    ax.set_title("norm of a client's update")
    log_if_wide(ax)
    return "Trained minus received parameters, L2 norm of all: median client, lowest to highest."


def paint_cosines(ax: Axes, record: RunRecord) -> str:
    """Agreement of clients' updates with their mean."""
    _paint_range(ax, record, "cosine")
    ax.set_title("cosine with the mean update")
    return (
        "Median client, lowest to highest. 1: all clients pull the same way; near 0 or below: "
        "updates cancel each other. A simulation sees it, whatever the aggregation shows a server."
    )


def _paint_range(ax: Axes, record: RunRecord, name: str) -> None:
    measured = [r for r in record.rounds if r.drift]
    measured = [measured[i] for i in thin(len(measured))]
    rounds = [r.round for r in measured]
    every = [[getattr(d, name) for d in r.drift.values()] for r in measured]
    known = [[np.nan if value is None else value for value in values] for values in every]
    low, middle, high = np.array([np.nanquantile(values, (0, 0.5, 1)) for values in known]).T
    paint_band(ax, rounds, low, high, 0.18)
    (line,) = ax.plot(rounds, middle, color=SERIES[0], clip_on=False, label=f"median {name}")
    line.set_marker(marker_for(len(rounds)))
    round_axis(ax, len(record.rounds))
    label_ends(
        ax,
        [
            EndLabel(low[-1], f"lowest {three_digits(low[-1])}", MUTED),
            EndLabel(middle[-1], f"median {three_digits(middle[-1])}", SERIES[0]),
            EndLabel(high[-1], f"highest {three_digits(high[-1])}", MUTED),
        ],
    )
