"""The figure of a circuit's layer: wires, boxes and controls, from left to right."""

from pathlib import Path

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedket.quantum.circuit import Circuit, Gate
from fedket.quantum.draw import columns_of
from fedket.report.drawing import STYLE
from fedket.report.rate_plot import METADATA

_INK = "black"


def plot_circuit(circuit: Circuit, path: Path) -> None:
    """Draw one layer, and how often it is repeated; the same circuit, the same file.

    Args:
        circuit: The circuit.
        path: Of a kind that `check_plot_file` takes.
    """
    columns = columns_of(circuit.layer)
    width, height = len(columns), circuit.num_qubits
    page = {"figure.facecolor": "white"}
    with matplotlib.style.context(STYLE | page, after_reset=True):
        figure = Figure(figsize=(1.2 + 0.6 * width, 0.6 + 0.5 * height), layout="constrained")
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set_xlim(-1.2, width)
        axes.set_ylim(height, -1)  # qubit 0 on top
        axes.set_title(f"one of {circuit.num_layers} layers" if circuit.num_layers > 1 else "")
        for qubit in range(height):
            axes.plot([-0.7, width - 0.3], [qubit, qubit], color=_INK, linewidth=0.8, zorder=1)
            axes.text(-0.8, qubit, f"q{qubit}", ha="right", va="center")
        for place, column in enumerate(columns):
            for gate in column:
                _draw_gate(axes, place, gate)
        figure.savefig(path, dpi=150, metadata=METADATA.get(path.suffix))


def _draw_gate(axes: Axes, place: int, gate: Gate) -> None:
    """A box on the last qubit and a dot on a control; CNOT, CZ and SWAP have signs of their own."""
    first, last = gate.qubits[0], gate.qubits[-1]
    if first != last:
        axes.plot([place, place], [first, last], color=_INK, linewidth=0.8, zorder=1)
    if gate.name == "SWAP":
        axes.plot([place, place], [first, last], "x", color=_INK, markersize=8)
        return
    if first != last:
        axes.plot(place, first, "o", color=_INK, markersize=5)
    if gate.name == "CZ":
        axes.plot(place, last, "o", color=_INK, markersize=5)
    elif gate.name == "CNOT":
        axes.plot(place, last, "o", color=_INK, markerfacecolor="white", markersize=11)
        axes.plot(place, last, "+", color=_INK, markersize=11)
    else:
        name = gate.name if first == last else gate.name.removeprefix("C")
        box = {"boxstyle": "square,pad=0.3", "facecolor": "white", "edgecolor": _INK}
        axes.text(place, last, name, ha="center", va="center", fontsize=8, bbox=box, zorder=2)
