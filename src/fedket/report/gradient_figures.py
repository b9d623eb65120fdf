"""Figures of a run's gradients by layer, if it recorded them."""

import numpy as np
from matplotlib.axes import Axes

from fedket.report.drawing import SERIES, EndLabel, label_ends, plain_log_ticks, round_axis, thin
from fedket.report.figures import log_if_wide, marker_for
from fedket.report.run_record import RunRecord

MAX_LINES = 5
"""Layers whose norm is drawn over rounds: the first, the last, and some between."""


def paint_norms(ax: Axes, record: RunRecord) -> str:
    """Norm of the gradient over rounds, of up to `MAX_LINES` layers."""
    measured = [r for r in record.rounds if r.gradients]
    measured = [measured[i] for i in thin(len(measured))]
    names = list(measured[0].gradients)
    chosen = np.unique(np.linspace(0, len(names) - 1, min(len(names), MAX_LINES)).astype(int))
    rounds = [r.round for r in measured]
    labels = []
    for line, name in enumerate(names[i] for i in chosen):
        norms = [_number(r.gradients[name].norm) for r in measured]
        (drawn,) = ax.plot(rounds, norms, color=SERIES[line], clip_on=False, label=name)
        drawn.set_marker(marker_for(len(rounds)))
        if np.isfinite(norms[-1]):
            labels.append(EndLabel(norms[-1], name, SERIES[line]))
    ax.set_title("norm of the gradient")
    round_axis(ax, len(record.rounds))
    log_if_wide(ax)
    label_ends(ax, labels)
    some = f"{len(chosen)} of {len(names)} layers. " if len(chosen) < len(names) else ""
    return f"{some}Of the mean loss of test samples, at the global model."


def paint_variances(ax: Axes, record: RunRecord) -> str:
    """Variance of the entries of each layer's gradient, after the first and the last round."""
    measured = [r for r in record.rounds if r.gradients]
    labels = []
    names = list(measured[0].gradients)
    places = np.arange(len(names))
    ends = dict.fromkeys((0, len(measured) - 1))
    for line, r in enumerate(measured[i] for i in ends):
        values = np.array([_number(r.gradients[name].variance) for name in names])
        kept = values > 0  # a layer of one number has none, and there is no logarithm of it
        (drawn,) = ax.plot(places[kept], values[kept], "o-", color=SERIES[line], clip_on=False)
        drawn.set_label(f"round {r.round}")
        if kept.any():
            labels.append(EndLabel(values[kept][-1], f"round {r.round}", SERIES[line]))
    if labels:
        ax.set_yscale("log")
        plain_log_ticks(ax.yaxis)
    step = -(-len(names) // 4)
    ax.set_xticks(places[::step])
    ax.set_xticklabels(names[::step])
    ax.set_title("variance of a layer's derivatives (logarithmic)")
    label_ends(ax, labels)
    return (
        "Of the entries of a layer's gradient. Where it is orders of magnitude below what it is in "
        "a shallower circuit, the layer hardly trains: a barren plateau."
    )


def _number(value: float | None) -> float:
    return np.nan if value is None else value
