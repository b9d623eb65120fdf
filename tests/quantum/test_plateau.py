"""Variance of gradients over random angles."""

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from fedket.cli.app import app
from fedket.errors import CircuitError, ConfigError
from fedket.quantum import ansatz
from fedket.quantum.circuit import make_circuit
from fedket.quantum.plateau import fit_slope, gradient_variance


def rotations(num_qubits):
    return make_circuit(num_qubits, [("RY", q) for q in range(num_qubits)], 1)


def test_of_a_product_of_rotations_every_qubit_halves_the_variance():
    # f = Π cos θ_q, so Var ∂f/∂θ_j = ∏ E[cos² or sin²] = 2⁻ⁿ.
    sizes = [1, 3, 5]
    found = [gradient_variance(rotations(n), "Z*", draws=3000, dtype="float64") for n in sizes]
    for n, variance in zip(sizes, found, strict=True):
        assert abs(variance.mean - 2.0**-n) < 4 * variance.mean_error < 0.2 * 2.0**-n
        assert variance.angles.shape == (1, n)
        assert (np.abs(variance.angles - 2.0**-n) < 5 * variance.angle_errors).all()
    slope = fit_slope(sizes, [v.mean for v in found], [v.mean_error for v in found])
    assert abs(slope.value + math.log(2)) < 4 * slope.standard_error < 0.1


def check_qfedfisher(num_qubits, num_layers, golden, draws):
    # Golden values of ⟨Z0 Z1⟩ by 300 draws, of the first angle: their error is √(2/300) or more.
    found = gradient_variance(ansatz.qfedfisher(num_qubits, num_layers), draws=draws)
    error = math.hypot(found.angle_errors[0, 0], 0.11 * golden)
    assert abs(found.angles[0, 0] - golden) < 3 * error


def test_the_variance_of_a_deep_circuit_is_the_golden_one():
    check_qfedfisher(4, 10, 0.031, 200)


@pytest.mark.long
@pytest.mark.parametrize(
    ("num_layers", "goldens"),
    [(2, (0.070, 0.067, 0.069)), (10, (0.031, 0.0076, 0.0028)), (40, (0.030, 0.0064, 0.0020))],
)
def test_variances_of_all_sizes_are_the_golden_ones(num_layers, goldens):
    for num_qubits, golden in zip((4, 6, 8), goldens, strict=True):
        check_qfedfisher(num_qubits, num_layers, golden, 2000)


def test_a_slope_is_of_the_logarithm_and_its_error_of_the_variances():
    sizes = [2, 4, 8]
    exact = fit_slope(sizes, [3 * math.exp(-0.5 * n) for n in sizes], [0.0] * 3)
    np.testing.assert_allclose(exact, (-0.5, 0), atol=1e-12)
    two = fit_slope([2, 4], [1.0, 1.0], [0.3, 0.4])
    np.testing.assert_allclose(two, (0, 0.25), atol=1e-12)  # √(0.3² + 0.4²) / 2
    assert fit_slope([2, 4], [1.0, 0.0], [0.1, 0.0]) is None


def plateau(*arguments):
    result = CliRunner().invoke(app, ["plateau", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_command_prints_a_table_or_json_and_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(
        "import fedket as fk\n"
        "def product(n, layers):\n"
        "    return fk.make_circuit(n, [('RY', q) for q in range(n)], layers)\n"
    )
    plot = tmp_path / "plateau.png"
    command = ["own.py:product", "--qubits", "1,2", "--layers", "1", "--observable", "Z*"]
    table = plateau(*command, "--plot", str(plot)).splitlines()
    assert table[0].split() == ["layers", "qubits", "variance", "standard", "error"]
    assert table[3].startswith("1 layers: slope of ln Var per qubit -0.")
    assert plot.stat().st_size > 5000
    printed = json.loads(plateau(*command, "--json", "--angle", "0,0", "--float64"))
    assert [(p["qubits"], p["layers"]) for p in printed["points"]] == [(1, 1), (2, 1)]
    assert printed["slopes"][0]["slope"] == pytest.approx(-math.log(2), abs=0.4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["qfedfisher", "--qubits", "2,x"], "--qubits takes 1 to 24 whole numbers from 1 to 24"),
        (["qfedfisher", "--qubits", "2", "--angle", "0;1"], "--angle takes a layer and a slot"),
        (["qfedfischer", "--qubits", "2"], "did you mean"),
        (["qfedfisher", "--plot", "nowhere.txt"], "a plot is one of"),
    ],
)
def test_what_cannot_be_read_is_one_line(arguments, message):
    with pytest.raises(ConfigError, match=message):
        plateau(*arguments)


def test_what_has_no_gradient_is_refused():
    with pytest.raises(CircuitError, match="at least 2 draws and 1 angle, got 300 and 0"):
        gradient_variance(make_circuit(2, [("H", 0)], 1))
    with pytest.raises(CircuitError, match="qubits go from 0 to 0"):
        gradient_variance(rotations(1))
