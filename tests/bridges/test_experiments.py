"""Foreign circuits in experiments: trained, said, kept with the run, and continued from there."""

import json

import pytest

from fedket import cli
from fedket.errors import ConfigError
from fedket.experiment.load import load_config
from fedket.experiment.run import resume_run, start_run

TOML = """
data = {kind = "digits", classes = [0, 1], max_train = 60, max_test = 30}
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


def shown(path, capsys):
    assert cli.main(["show", str(path), "--json"]) in (0, None)
    return json.loads(capsys.readouterr().out)


def test_a_qasm_file_is_trained_and_kept_with_its_run(experiment, tmp_path, capsys):
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
