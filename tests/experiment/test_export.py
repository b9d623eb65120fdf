"""The exported network predicts as the run's model does, computed here with numpy alone."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from safetensors import safe_open
from safetensors.numpy import save_file

from fedket.cli import execute
from fedket.data.transform_kinds import PadConfig
from fedket.errors import CheckpointError, ConfigError
from fedket.experiment.build import build_experiment
from fedket.experiment.export import export_network
from fedket.experiment.load import dump_config, parse_config
from fedket.experiment.run import start_run
from fedket.experiment.run_directory import read_config
from fedket.federated.checkpoint import load_params
from fedket.models.network_file import read_network

LAYERS = ["conv 2 3", "relu", "pool", "linear 3"]
MODELS = {
    "quantum_train": {"kind": "quantum_train", "num_layers": 1, "blocks": 2},
    "cnn": {"kind": "cnn"},
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "images.npz"
    y = np.arange(30) % 3
    x = rng.uniform(size=(30, 6, 6)).astype(np.float32)
    np.savez(path, x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    return path


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.long] * (name == "quantum_train")) for name in MODELS
    ],
)
def run(request, images, tmp_path_factory):
    values = {
        "name": "tiny",
        "data": {"kind": "npz", "path": str(images)},
        "transform": [{"kind": "signed"}],
        "partition": {"num_clients": 2},
        "model": {**MODELS[request.param], "layers": LAYERS, "image_side": 6},
        "federation": {"rounds": 1},
    }
    config = parse_config(values)
    directory = tmp_path_factory.mktemp("runs") / request.param
    start_run(config, output=directory)
    return config, directory


def predict(path, x):
    """The layers of the file, from its metadata and tensors, in numpy."""
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}  # noqa: SIM118
    assert json.loads(metadata["layers"]) == LAYERS
    assert (metadata["image_side"], metadata["pixel_range"]) == ("6", "signed")
    windows = sliding_window_view(x, (3, 3), axis=(1, 2))
    h = np.einsum("nijkl,ockl->noij", windows, tensors["conv1.weight"])
    h = np.maximum(h + tensors["conv1.bias"][:, None, None], 0)
    h = h.reshape(len(x), 2, 2, 2, 2, 2).max(axis=(3, 5))
    return h.reshape(len(x), -1) @ tensors["fc1.weight"].T + tensors["fc1.bias"]


def test_the_file_alone_predicts_what_the_run_predicts(run, tmp_path):
    config, directory = run
    path = tmp_path / "cnn.safetensors"
    export_network(directory, path)
    experiment = build_experiment(config)
    x = jnp.asarray(experiment.dataset.x_test)
    params = load_params(directory / "model.safetensors", experiment.federation.init().params)
    expected = experiment.model.apply(params, x)
    np.testing.assert_allclose(predict(path, np.asarray(x)), expected, atol=1e-4)
    np.testing.assert_allclose(read_network(path).logits(x), expected, atol=1e-4)


def test_the_command_says_what_it_wrote_and_refuses_in_one_line(run, tmp_path, monkeypatch, capsys):
    path = tmp_path / "cnn.safetensors"
    monkeypatch.setattr("sys.argv", ["fedket", "export", str(run[1]), "-o", str(path)])
    assert execute() == 0
    assert capsys.readouterr().out == f"{path}: 47 weights, {', '.join(LAYERS)}\n"
    monkeypatch.setattr("sys.argv", ["fedket", "export", str(tmp_path / "no"), "-o", str(path)])
    assert execute() == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_mlp_is_exported_too_with_its_own_names(finished, tmp_path):
    path = tmp_path / "mlp.safetensors"
    export_network(finished.directory, path)
    with safe_open(path, framework="np") as file:
        assert set(file.keys()) == {"linear0.weight", "linear0.bias"}
    experiment = build_experiment(read_config(finished.directory))
    x = jnp.asarray(experiment.dataset.x_test)
    params = load_params(
        finished.directory / "model.safetensors", experiment.federation.init().params
    )
    np.testing.assert_array_equal(read_network(path).logits(x), experiment.model.apply(params, x))


OWN = """
import fedket as fk

class Own(fk.Section):
    def build(self, context):
        plan = fk.plan_network(["linear 5", "relu", "linear 3"], (context.num_features,))
        return fk.network_model(plan)._replace(circuit=fk.ansatz.qunetqfl(2, 1))
"""


def test_a_model_of_ones_own_can_offer_its_plain_network(blobs, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    values = {
        "name": "own",
        "data": {"kind": "npz", "path": str(blobs)},
        "partition": {"num_clients": 2},
        "model": {"kind": "own.py:Own"},
        "federation": {"rounds": 1},
    }
    start_run(parse_config(values, folder=tmp_path), output=tmp_path / "run")
    network = export_network(tmp_path / "run", tmp_path / "own.safetensors")
    assert network.plan.words == ("linear 5", "relu", "linear 3")


def test_a_run_without_a_plain_network_is_refused(tiny, tmp_path):
    config = tiny("model={kind = 'vqc', num_qubits = 2, num_layers = 1}")
    directory = start_run(config, output=tmp_path / "run").directory
    with pytest.raises(ConfigError, match="kind `vqc`, which is no plain network"):
        export_network(directory, tmp_path / "cnn.safetensors")
    assert not (tmp_path / "cnn.safetensors").exists()


def test_zeros_put_around_images_before_they_are_signed_cannot_be_said(run, tmp_path):
    config, directory = run
    copy = tmp_path / "run"
    shutil.copytree(directory, copy)
    changed = config.model_copy(update={"transform": (PadConfig(side=6), *config.transform)})
    (copy / "config.toml").write_text(dump_config(changed))
    with pytest.raises(ConfigError, match=r"after the transforms pad, signed; .* `signed` first"):
        export_network(copy, tmp_path / "cnn.safetensors")


def test_files_of_others_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    with pytest.raises(CheckpointError, match="no network at"):
        read_network(path)
    save_file({"a": np.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="export it again"):
        read_network(path)
    path.write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="export it again"):
        read_network(path)


def test_onnx_gives_the_logits_of_the_network(run, tmp_path):
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    config, directory = run
    network = export_network(directory, tmp_path / "cnn.onnx", as_onnx=True)
    x = np.asarray(build_experiment(config).dataset.x_test)
    model = onnx.load(tmp_path / "cnn.onnx")
    assert {p.key: p.value for p in model.metadata_props}["pixel_range"] == "signed"
    (found,) = ReferenceEvaluator(model).run(None, {"samples": x[:, None]})
    np.testing.assert_allclose(found, network.logits(x), atol=1e-5)


def test_onnx_of_linear_layers_takes_features():
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    from fedket.bridges.export.as_onnx import to_onnx
    from fedket.models.network import init_weights, plan_dense
    from fedket.models.network_file import TrainedNetwork

    plan = plan_dense((4, 5, 3), ("relu", "dropout 0.5"))
    network = TrainedNetwork(plan, init_weights(plan, jax.random.key(0)), "unit")
    x = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    model = onnx.load_from_string(to_onnx(network))
    (found,) = ReferenceEvaluator(model).run(None, {"samples": x})
    np.testing.assert_allclose(found, network.logits(x), atol=1e-5)
