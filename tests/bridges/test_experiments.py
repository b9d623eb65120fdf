"""Foreign circuits in experiments: trained, said, kept with the run, and continued from there."""

import json
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedket import cli
from fedket.deploy.deployable import check_deployable
from fedket.deploy.site_trainer import make_task
from fedket.errors import ConfigError, UserCodeError
from fedket.experiment.load import load_config
from fedket.experiment.run import resume_run, start_run
from fedket.report import write_report

TOML = """
data = {kind = "digits", classes = [0, 1], max_train = 16, max_test = 8}
transform = [{kind = "pca", components = 2}]
partition = {kind = "iid", num_clients = 2}
federation = {rounds = 1}
"""

QASM = """OPENQASM 3.0;
include "stdgates.inc";
input array[float[64], 2] x;
input array[float[64], 4] w;
qubit[2] q;
ry(x[0]) q[0]; ry(x[1]) q[1];
cx q[0], q[1]; ry(w[0]) q[0]; ry(w[1]) q[1];
cx q[0], q[1]; ry(w[2]) q[0]; ry(w[3]) q[1];
"""


@pytest.fixture
def experiment(tmp_path):
    """`experiment(model, name=content)`: an experiment file, and files beside it."""

    def write(model, **files):
        for name, content in files.items():
            (tmp_path / name.replace("_", ".")).write_text(content)
        path = tmp_path / "foreign.toml"
        path.write_text(f"{TOML}\n[model]\n{model}\n")
        return path

    return write


def test_a_qasm_file_is_trained_and_kept_with_its_run(experiment, tmp_path):
    path = experiment('kind = "qasm"\nfile = "mine.qasm"', mine_qasm=QASM)
    config = load_config(path)
    run = start_run(config, output=tmp_path / "run").directory
    assert (run / "mine.qasm").read_text() == QASM
    (tmp_path / "mine.qasm").write_text(QASM.replace("cx", "cz"))
    assert resume_run(run).summary.status == "finished"
    facts = json.loads((run / "model.json").read_text())
    assert facts["runs_on"] == (
        "fedket's own engine, translated from mine.qasm: for each sample 2 gates × 1; for the "
        "batch 3 gates × 2"
    )
    assert (facts["parameters"], facts["qubits"]) == (4, 2)


def test_a_qasm_file_is_trained_under_noise(experiment, tmp_path):
    path = experiment('kind = "qasm"\nfile = "mine.qasm"', mine_qasm=QASM)
    config = load_config(path, ["noise.two_qubit=0.1"])
    run = start_run(config, output=tmp_path / "run").directory
    assert json.loads((run / "model.json").read_text())["noise"].startswith("exact")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ('file = "none.qasm"', "model.file: .*none.qasm is not a readable text file"),
        ('file = "../mine.qasm"', "beside the experiment"),
        ('file = "mine.qasm"\ninputs = ["y"]', "reads no features"),
    ],
)
def test_a_file_that_does_not_serve_is_one_line(experiment, tmp_path, model, said):
    path = experiment(f'kind = "qasm"\n{model}', mine_qasm=QASM)
    with pytest.raises(ConfigError, match=said):
        start_run(load_config(path), output=tmp_path / "run")


QNODE = """import pennylane as qml

@qml.qnode(qml.device("lightning.qubit", wires=2))
def circuit(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(2))
    qml.BasicEntanglerLayers(weights, wires=range(2))
    return [qml.expval(qml.PauliZ(wire)) for wire in range(2)]
"""
PENNYLANE = 'kind = "pennylane"\ncircuit = "mine.py:circuit"\nweights = { weights = [2, 2] }'


def test_a_qnode_is_trained_natively_and_on_its_device_to_the_same_weights(experiment, tmp_path):
    path = experiment(PENNYLANE, mine_py=QNODE)
    runs = {
        engine: start_run(load_config(path, [f"model.engine={engine}"]), output=tmp_path / engine)
        for engine in ("auto", "device")
    }
    native, device = (load_file(run.directory / "model.safetensors") for run in runs.values())
    assert native.keys() == device.keys()
    for name, array in native.items():
        np.testing.assert_allclose(array, device[name], atol=1e-5)
    said = [json.loads((run.directory / "model.json").read_text()) for run in runs.values()]
    assert "translated from QNode `circuit`" in said[0]["runs_on"]
    assert "on its own device `lightning.qubit`" in said[1]["runs_on"]
    assert "model" not in said[0]["caveats"]
    assert "did not run on fedket's engine" in said[1]["caveats"]["model"][0]
    pages = [write_report([run.directory]).read_text() for run in runs.values()]
    assert ["named under Model" in page for page in pages] == [False, True]
    assert ["simulated on classical hardware" in page for page in pages] == [True, False]
    assert (runs["auto"].directory / "mine.py").read_text() == QNODE


def test_a_device_that_fails_ends_the_run_in_one_line(experiment, tmp_path):
    broken = QNODE.replace(
        "    qml.Angle", "    if abs(weights[0, 0]) > 1e6: raise OSError('off')\n    qml.Angle"
    )
    model = f"{PENNYLANE}\nengine = 'device'\nretries = 0\ninit_std = 1e10"
    path = experiment(model, mine_py=broken)
    with pytest.raises(UserCodeError, match=r"mine.py, line 5: OSError: off"):
        start_run(load_config(path), output=tmp_path / "run")


def test_show_says_what_runs_the_circuit(experiment, capsys, monkeypatch):
    path = experiment(PENNYLANE, mine_py=QNODE)
    monkeypatch.setattr(sys, "argv", ["fedket", "show", str(path)])
    assert cli.execute() == 0
    assert "runs on" in (shown := capsys.readouterr().out)
    assert "fedket's own engine, translated from QNode `circuit`: for each sample 2 gates" in shown


CIRCUIT = """from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives import StatevectorEstimator

x, w = ParameterVector("x", 2), ParameterVector("w", 2)
circuit = QuantumCircuit(2)
circuit.ry(x[0], 0)
circuit.ry(x[1], 1)
circuit.cx(0, 1)
circuit.ry(w[0], 0)
circuit.ry(w[1], 1)
estimator = StatevectorEstimator()
"""


def test_a_qiskit_circuit_is_trained_on_an_estimator_whose_jobs_are_in_the_record(
    experiment, tmp_path
):
    model = "kind = 'qiskit'\ncircuit = 'mine.py:circuit'\n"
    path = experiment(model, mine_py=CIRCUIT)
    backends = {"native": "", "own": "mine.py:estimator"}
    runs = {
        name: start_run(
            load_config(path, [f"model.backend={backend!r}"]), output=tmp_path / name
        ).directory
        for name, backend in backends.items()
    }
    native, own = (load_file(run / "model.safetensors") for run in runs.values())
    for name, array in native.items():
        np.testing.assert_allclose(array, own[name], atol=1e-5)
    jobs = [json.loads((run / "rounds.jsonl").read_text())["device_jobs"] for run in runs.values()]
    assert jobs[0] == []
    assert len(set(jobs[1])) == len(jobs[1]) > 4
    assert (runs["own"] / "mine.py").read_text() == CIRCUIT


@pytest.mark.parametrize(
    ("keys", "files"),
    [
        ("kind = 'qiskit'\ncircuit = 'mine.py:circuit'\nbackend = 'aer'", CIRCUIT),
        (f"{PENNYLANE}\nengine = 'device'", QNODE),
    ],
)
def test_a_site_lends_nobody_its_devices(experiment, keys, files):
    path = experiment(f"{keys}\n[aggregation]\nkind = 'pairwise_masks'", mine_py=files)
    with pytest.raises(ConfigError, match="a site lends nobody its devices"):
        check_deployable(load_config(path), 2)
    native = load_config(path, ["model.engine=native"])
    check_deployable(native, 2)


def test_a_site_does_not_fall_back_on_a_device(experiment):
    branching = QNODE.replace(
        "    qml.Angle", "    if weights[0, 0] > 0.5: qml.X(0)\n    qml.Angle"
    )
    path = experiment(f"{PENNYLANE}\n[aggregation]\nkind = 'pairwise_masks'", mine_py=branching)
    with pytest.raises(ConfigError, match=r"computes on fedket's engine.*depend on values"):
        make_task(load_config(path), (2,), 2)
