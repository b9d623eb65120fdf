"""A trained circuit in another language gives the logits that the run's model gives."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import qpy
from qiskit.quantum_info import SparsePauliOp, Statevector

from fedket import cli
from fedket.bridges.native import native_run
from fedket.bridges.qasm.reader import read_qasm
from fedket.errors import CircuitError, ConfigError
from fedket.experiment.build import build_experiment
from fedket.experiment.export_circuit import export_circuit
from fedket.experiment.load import load_config
from fedket.experiment.run import start_run
from fedket.federated.checkpoint import load_params
from fedket.quantum.readout import expval
from fedket.user_code import load_from_file

TOML = """
data = {kind = "digits", classes = [0, 1], max_train = 8, max_test = 4}
transform = [{kind = "pca", components = 3}]
partition = {kind = "iid", num_clients = 2}
federation = {rounds = 1}
"""

LAYER = [["Rot", 0], ["U3", 1], ["CU3", 0, 2], ["CRX", 1, 2], ["H", 1], ["X", 2], ["SWAP", 0, 1]]

MODELS = {
    "angle": f"kind = 'vqc'\nencoding = 'angle'\nreadout = 'z_zz'\nlayer = {LAYER}",
    "arctan": "kind = 'hybrid'\ncircuit = 'chen_yoo'\nnum_qubits = 3",
    "reuploading": "kind = 'reuploading'\nnum_qubits = 2",
    "qasm": "kind = 'qasm'\nfile = 'mine.qasm'\nobservables = ['Z0 X1', 'Y2']",
}

QASM = """OPENQASM 3.0;
include "stdgates.inc";
input array[float[64], 3] x;
input float[64] w0; input float[64] w1;
qubit[3] q;
ry(sin(x[0]) / 2 + w0) q[0]; rx(x[1] * w1) q[1]; rz(2 * w0) q[1]; ry(x[2] ** 2) q[2];
cx q[0], q[1]; crz(w1 / 2) q[1], q[2];
"""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.long] * (name in ("arctan", "reuploading")))
        for name in MODELS
    ],
)
def trained(request, tmp_path_factory):
    """Run directory, samples that enter the circuit, and the values that it must give."""
    folder = tmp_path_factory.mktemp("export")
    sizes = "\nnum_qubits = 3\nnum_layers = 2" if request.param == "angle" else ""
    (folder / "mine.qasm").write_text(QASM)
    (folder / "mine.toml").write_text(f"{TOML}\n[model]\n{MODELS[request.param]}{sizes}\n")
    config = load_config(folder / "mine.toml")
    directory = start_run(config, output=folder / "run").directory
    model = build_experiment(config).model
    params = load_params(directory / "model.safetensors", model.init(jnp.zeros(2, "uint32")))
    x = np.random.default_rng(0).uniform(0.1, 1, (2, 3)).astype(np.float32)
    if request.param == "arctan":  # a head that changes nothing, so that x enters the circuit
        head = jax.tree.map(lambda v: jnp.eye(3) if v.ndim == 2 else 0 * v, params["head"])
        params = {**params, "head": head}
    values = np.asarray(model.apply(params, jnp.asarray(x))) / config.model.logit_scale
    return directory, x, values


def test_openqasm(trained, tmp_path):
    directory, x, expected = trained
    circuit = export_circuit(directory, tmp_path / "out.qasm", "qasm")
    read = read_qasm((tmp_path / "out.qasm").read_text(), "out.qasm")
    assert read.weights == ()
    psi = native_run(read.program)(jnp.zeros(0), jnp.asarray(x))
    np.testing.assert_allclose(expval(psi, *circuit.strings), expected, atol=1e-5)


def test_pennylane(trained, tmp_path):
    directory, x, expected = trained
    export_circuit(directory, tmp_path / "out.py", "pennylane")
    node = load_from_file("circuit", "out.py:circuit", tmp_path)
    np.testing.assert_allclose([node(sample) for sample in x], expected, atol=1e-5)


def test_qiskit(trained, tmp_path):
    directory, x, expected = trained
    strings = export_circuit(directory, tmp_path / "out.qpy", "qiskit").strings
    with (tmp_path / "out.qpy").open("rb") as file:
        (circuit,) = qpy.load(file)
    for sample, values in zip(x, expected, strict=True):
        state = Statevector(circuit.assign_parameters(list(sample.astype(float))))
        for string, value in zip(strings, values, strict=True):
            factors = [(factor[0], int(factor[1:])) for factor in string.split()]
            word = ("".join(f for f, _ in factors), [q for _, q in factors], 1.0)
            pauli = SparsePauliOp.from_sparse_list([word], circuit.num_qubits)
            found = state.expectation_value(pauli)
            assert abs(found - value) < 1e-5


def test_the_command_says_what_it_wrote(trained, tmp_path, monkeypatch, capsys):
    target = tmp_path / "out.qasm"
    words = ["fedket", "export", str(trained[0]), "--to", "qasm", "-o", str(target)]
    monkeypatch.setattr(sys, "argv", words)
    assert cli.execute() == 0
    qubits = export_circuit(trained[0], target, "qasm").num_qubits
    assert f"{target}: {qubits} qubits," in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model", "error", "said"),
    [
        ("kind = 'mlp'", ConfigError, "`mlp` has no circuit"),
        (
            "kind = 'pennylane'\ncircuit = 'mine.py:circuit'\nweights = {w = [1]}",
            CircuitError,
            "worked out in Python",
        ),
    ],
)
def test_what_is_no_formula_is_said(tmp_path, model, error, said):
    (tmp_path / "mine.py").write_text(
        "import pennylane as qml\n\n"
        "@qml.qnode(qml.device('default.qubit', wires=1))\n"
        "def circuit(x, w):\n"
        "    qml.RX(qml.math.sin(x[0]) * w[0], wires=0)\n"
        "    return qml.expval(qml.PauliZ(0))\n"
    )
    (tmp_path / "mine.toml").write_text(f"{TOML}\n[model]\n{model}\n")
    directory = start_run(load_config(tmp_path / "mine.toml"), output=tmp_path / "run").directory
    with pytest.raises(error, match=said):
        export_circuit(directory, tmp_path / "out.qasm", "qasm")
