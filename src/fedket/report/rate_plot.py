"""The figure of key rate against loss."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from fedket.errors import ConfigError
from fedket.keys.qkd.rates import Curve
from fedket.report.drawing import MUTED, SERIES, STYLE

SUFFIXES = (".svg", ".png", ".pdf")

REPORTED_BPS = 32.8e3
"""What QuNetQFL (arXiv:2501.12709) reports per pair, as a lower bound."""

_LINES = {"mdi": ("four-phase MDI-QKD", SERIES[0]), "bb84": ("decoy BB84", SERIES[1])}
"""Protocol -> its name and colour."""

METADATA = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def check_plot_file(path: Path) -> None:
    """Refuse a file that cannot be drawn, before anything is computed.

    Raises:
        ConfigError: The suffix is unknown, or the directory does not exist.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"a plot is one of {', '.join(SUFFIXES)}, got {path.name}")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no directory {path.parent} for the plot; make it first")


def plot_rates(curves: Sequence[Curve], clock_hz: float, path: Path) -> None:
    """Draw key rate against loss, rates on a logarithmic axis; the same data, the same file.

    Raises:
        ConfigError: No curve has any key.
    """
    if not any(point.rate_bps > 0 for curve in curves for point in curve.points):
        raise ConfigError("there is no key at any of these losses, so nothing to plot; lower them")
    page = {"figure.facecolor": "white", "legend.frameon": False}
    with matplotlib.style.context(STYLE | page, after_reset=True):
        figure = Figure(figsize=(7, 4.4), layout="constrained")
        axes = figure.subplots()
        for curve in curves:
            _draw(axes, curve)
        _decorate(axes, curves, clock_hz)
        figure.savefig(path, dpi=150, metadata=METADATA.get(path.suffix))


def _draw(axes: Axes, curve: Curve) -> None:
    kept = [point for point in curve.points if point.rate_bps > 0]
    name, colour = _LINES[curve.protocol]
    block = "asymptotic" if curve.pulses is None else f"blocks of {curve.pulses:.3g} pulses"
    axes.plot(
        [point.loss_db for point in kept],
        [point.rate_bps for point in kept],
        color=colour,
        linestyle="--" if curve.pulses is None else "-",
        marker="o" if len(kept) == 1 else None,
        label=f"{name}, {block.replace('e+', 'e')}",
    )


def _decorate(axes: Axes, curves: Sequence[Curve], clock_hz: float) -> None:
    losses = [point.loss_db for curve in curves for point in curve.points]
    axes.set_yscale("log")
    if max(losses) > min(losses):
        axes.set_xlim(min(losses), max(losses))
    axes.set_xlabel("total loss in dB, detectors included")
    axes.set_ylabel("key rate in bit/s")
    axes.set_title(f"Simulated key rate at {EngFormatter('Hz', sep=' ')(clock_hz)}")
    axes.yaxis.set_major_formatter(EngFormatter(sep=" "))
    rates = [p.rate_bps for c in curves if c.protocol == "mdi" for p in c.points if p.rate_bps > 0]
    if rates and min(rates) < REPORTED_BPS < max(rates):
        label = "reported by QuNetQFL: more than 32.8 kbit/s per pair"
        axes.axhline(REPORTED_BPS, color=MUTED, linewidth=1.2, linestyle=":", label=label)
    axes.legend(loc="lower left")
