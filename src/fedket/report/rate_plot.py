"""The figure of key rate against loss."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedket.errors import ConfigError
from fedket.keys.qkd.rates import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".svg", ".png", ".pdf")

REPORTED_BPS = 32.8e3
"""What QuNetQFL (arXiv:2501.12709) reports per pair, as a lower bound."""

_INK, _MUTED, _GRID = "#1b2430", "#5c6777", "#d8dee6"
_COLOURS = {"mdi": "#1f66ad", "bb84": "#c4520a"}
_NAMES = {"mdi": "four-phase MDI-QKD", "bb84": "decoy BB84"}
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fedket",
    "font.size": 10,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _INK,
    "axes.grid": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.7,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "text.color": _INK,
    "legend.frameon": False,
}


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
        ConfigError: See `check_plot_file`, or no curve has any key.
    """
    check_plot_file(path)
    if not any(point.rate_bps > 0 for curve in curves for point in curve.points):
        raise ConfigError("there is no key at any of these losses, so nothing to plot; lower them")
    import matplotlib.style
    from matplotlib.figure import Figure

    with matplotlib.style.context(_STYLE, after_reset=True):
        figure = Figure(figsize=(7, 4.4), layout="constrained")
        axes = figure.subplots()
        for curve in curves:
            _draw(axes, curve)
        _decorate(axes, curves, clock_hz)
        figure.savefig(path, dpi=150, metadata=_METADATA.get(path.suffix))


_METADATA = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def _draw(axes: "Axes", curve: Curve) -> None:
    kept = [point for point in curve.points if point.rate_bps > 0]
    axes.plot(
        [point.loss_db for point in kept],
        [point.rate_bps for point in kept],
        color=_COLOURS[curve.protocol],
        linestyle="--" if curve.pulses is None else "-",
        marker="o" if len(kept) == 1 else None,
        label=f"{_NAMES[curve.protocol]}, {_block(curve.pulses)}",
    )


def _block(pulses: float | None) -> str:
    return "asymptotic" if pulses is None else f"blocks of {pulses:.3g} pulses".replace("e+", "e")


def _decorate(axes: "Axes", curves: Sequence[Curve], clock_hz: float) -> None:
    from matplotlib.ticker import EngFormatter

    losses = [point.loss_db for curve in curves for point in curve.points]
    axes.set_yscale("log")
    if max(losses) > min(losses):
        axes.set_xlim(min(losses), max(losses))
    axes.set_xlabel("total loss in dB, detectors included")
    axes.set_ylabel("key rate in bit/s")
    axes.set_title(f"Simulated key rate at {_frequency(clock_hz)}", loc="left", fontsize=11)
    axes.yaxis.set_major_formatter(EngFormatter(sep=" "))
    rates = [p.rate_bps for c in curves if c.protocol == "mdi" for p in c.points if p.rate_bps > 0]
    if rates and min(rates) < REPORTED_BPS < max(rates):
        label = "reported by QuNetQFL: more than 32.8 kbit/s per pair"
        axes.axhline(REPORTED_BPS, color=_MUTED, linewidth=1.2, linestyle=":", label=label)
    axes.legend(loc="lower left")


def _frequency(clock_hz: float) -> str:
    for unit, name in ((1e9, "GHz"), (1e6, "MHz"), (1e3, "kHz")):
        if clock_hz >= unit:
            return f"{clock_hz / unit:g} {name}"
    return f"{clock_hz:g} Hz"
