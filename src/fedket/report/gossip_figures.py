"""Figures of a federation without a centre: how far its clients' models are apart, and how good."""

import numpy as np
from matplotlib.axes import Axes

from fedket.report.client_figures import paint_band
from fedket.report.drawing import DASHES, MUTED, SERIES, EndLabel, label_ends, round_axis
from fedket.report.figures import curve, log_if_wide, marker_for, percent_axis
from fedket.report.run_record import RunRecord
from fedket.report.wording import three_digits


def paint_consensus(ax: Axes, record: RunRecord) -> str:
    """Distance of the clients' models from their mean, by round."""
    rounds, distance = curve(record, "consensus_distance")
    (line,) = ax.plot(rounds, distance, color=SERIES[2], clip_on=False, label="distance")
    line.set_marker(marker_for(len(rounds)))
    ax.set_title("distance from consensus")
    ax.set_ylim(bottom=0)
    log_if_wide(ax)
    round_axis(ax, len(record.rounds))
    label_ends(ax, [EndLabel(distance[-1], three_digits(float(distance[-1])), SERIES[2])])
    return (
        "Root mean square over clients of the distance (L2 norm, all parameters) of a client's "
        f"model from the mean of all, after mixing. The graph: {record.facts.graph}."
    )


def paint_own_models(ax: Axes, record: RunRecord) -> str:
    """Test accuracy of the clients' own models beside that of their mean."""
    evaluated = [r for r in record.rounds if r.own_accuracy]
    rounds = [r.round for r in evaluated]
    low, median, high = (
        100 * np.array([np.quantile(np.array(r.own_accuracy), (0, 0.5, 1)) for r in evaluated]).T
    )
    mean = 100 * np.array([r.test_accuracy for r in evaluated])
    paint_band(ax, rounds, low, high, 0.2)
    marker = marker_for(len(rounds))
    ax.plot(rounds, median, color=SERIES[0], marker=marker, clip_on=False, label="median client")
    ax.plot(rounds, mean, color=SERIES[1], linestyle=DASHES[1], clip_on=False, label="mean model")
    percent_axis(ax)
    round_axis(ax, len(record.rounds))
    ax.set_title("test accuracy of clients' own models, %")
    ends = [
        EndLabel(low[-1], f"lowest {low[-1]:.0f}", MUTED),
        EndLabel(median[-1], f"median {median[-1]:.0f}", SERIES[0]),
        EndLabel(mean[-1], f"mean model {mean[-1]:.0f}", SERIES[1]),
    ]
    label_ends(ax, ends)
    return (
        "Each client's own model on the whole test set: line the median client, band the lowest to "
        "the highest; dashed the mean of all models, which no client has."
    )
