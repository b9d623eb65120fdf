"""`fedket draw`: circuits as text and as figures."""

import pytest
from typer.testing import CliRunner

from fedket.cli.app import app
from fedket.quantum.circuit import make_circuit
from fedket.report.circuit_plot import plot_circuit


def draw(*arguments):
    return CliRunner().invoke(app, ["draw", *map(str, arguments)])


def test_a_circuit_by_name_is_drawn_as_show_does():
    result = draw("chen_yoo", "--qubits", 2, "--layers", 3)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "q0  ─●─⊕─Rot─",
        "q1  ─⊕─●─Rot─ × 3",
        "angles: 6 in a layer, 18 in all",
    ]


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_same_circuit_makes_the_same_figure(tmp_path, suffix):
    gates = [("H", 0), ("CRX", 0, 2), ("SWAP", 1, 2), ("CZ", 0, 1), ("CNOT", 2, 0), ("U3", 1)]
    circuit = make_circuit(3, gates, 2)
    files = [tmp_path / f"{number}.{suffix}" for number in (1, 2)]
    for file in files:
        plot_circuit(circuit, file)
    assert files[0].read_bytes() == files[1].read_bytes()
    other = tmp_path / f"other.{suffix}"
    plot_circuit(make_circuit(3, gates[:-1], 2), other)
    assert other.read_bytes() != files[0].read_bytes()


def test_the_command_writes_the_figure(tmp_path):
    result = draw("qfedfisher", "--plot", tmp_path / "layer.svg")
    assert result.exit_code == 0
    assert (tmp_path / "layer.svg").read_text().startswith("<?xml")


def test_a_plot_of_no_known_kind_is_refused(tmp_path):
    result = draw("qfedfisher", "--plot", tmp_path / "layer.txt")
    assert result.exit_code != 0
    assert not (tmp_path / "layer.txt").exists()
