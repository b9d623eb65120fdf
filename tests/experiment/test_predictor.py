"""A run's model classifies new samples as the run classified its test set."""

import csv
import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from fedket.cli import execute
from fedket.errors import CheckpointError, ConfigError, DataError
from fedket.experiment.export import export_params
from fedket.experiment.predictor import load
from fedket.experiment.run import start_run
from tests.experiment.tiny import config_of, rounds_of

KINDS = {
    "fitted": ("transform=[{kind = 'pca', components = 2}]", "data.validation_fraction=0.2"),
    "quantum": (
        "transform=[{kind = 'signed'}]",
        "model={kind = 'vqc', num_qubits = 2, num_layers = 1}",
    ),
}


@pytest.fixture(scope="module", params=KINDS)
def run(request, blobs, tmp_path_factory):
    return start_run(
        config_of(blobs, "federation.rounds=2", *KINDS[request.param]),
        output=tmp_path_factory.mktemp("runs") / request.param,
    )


@pytest.fixture
def test_set(blobs):
    with np.load(blobs) as arrays:
        return arrays["x_test"], arrays["y_test"]


def test_it_classifies_as_the_run_did_and_one_sample_like_many(run, test_set):
    x, y = test_set
    predictor = load(run.directory)
    labels, shares = predictor.predict(x), predictor.predict_proba(x)
    accuracy = rounds_of(run.directory)[-1]["test_accuracy"]
    assert np.mean(labels == y) == pytest.approx(accuracy, abs=1e-6)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_array_equal(shares.argmax(axis=1), labels)
    np.testing.assert_allclose(predictor.predict_proba(x[3:4])[0], shares[3], atol=1e-6)
    with pytest.raises(DataError, match=r"have shape \(4,\), got an array of shape \(30, 3\)"):
        predictor.predict(x[:, :3])


def test_the_best_model_is_there_if_and_only_if_there_was_a_validation_split(run):
    facts = json.loads((run.directory / "model.json").read_text())
    if not facts["num_validation"]:
        with pytest.raises(CheckpointError, match="the test set chooses nothing"):
            load(run.directory, "best")
        return
    found = jax.tree.leaves(load(run.directory, "best").params)
    best = load_file(run.directory / "best.safetensors")
    assert sum(leaf.size for leaf in found) == sum(array.size for array in best.values())


def test_the_command_writes_a_row_for_every_sample(run, test_set, tmp_path, capsys, monkeypatch):
    x, _ = test_set
    np.savez(tmp_path / "new.npz", x=x)
    np.savetxt(tmp_path / "new.csv", x, delimiter=",", header="a,b,c,d", comments="")
    tables = []
    for file in ("new.npz", "new.csv"):
        output = tmp_path / f"{file}.out"
        words = ["predict", str(run.directory), str(tmp_path / file), "--output", str(output)]
        monkeypatch.setattr("sys.argv", ["fedket", *words])
        assert execute() == 0
        tables.append(list(csv.DictReader(output.read_text().splitlines())))
    assert tables[0] == tables[1]
    assert [int(row["class"]) for row in tables[0]] == load(run.directory).predict(x).tolist()
    assert "30 samples" in capsys.readouterr().out


def test_parameters_leave_as_they_are(run, tmp_path):
    arrays = export_params(run.directory, tmp_path / "p.npz", "last", as_npz=True)
    export_params(run.directory, tmp_path / "p.safetensors", "last", as_npz=False)
    stored = load_file(run.directory / "model.safetensors")
    with np.load(tmp_path / "p.npz") as npz:
        for found in (arrays, dict(npz), load_file(tmp_path / "p.safetensors")):
            assert found.keys() == stored.keys()
            for name, array in stored.items():
                np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("run", ["quantum"], indirect=True)
def test_a_quantum_model_is_no_onnx_file(run, tmp_path):
    from fedket.experiment.export import export_network

    with pytest.raises(ConfigError, match="no plain network"):
        export_network(run.directory, tmp_path / "m.onnx", as_onnx=True)
