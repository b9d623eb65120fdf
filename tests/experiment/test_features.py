"""From images through a frozen network to a hybrid model: one round, and what is refused."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fedket.errors import ConfigError, DataError
from fedket.experiment.build import build_experiment
from fedket.experiment.load import override, parse_config
from fedket.experiment.section import build
from fedket.models.backbones import BACKBONES
from fedket.section import Context, find_section

SIDE = 31


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Images whose brightness tells the class, and random weights of the smallest network."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    arrays = {}
    for part, size in (("train", 24), ("test", 8)):
        y = np.arange(size) % 2
        noise = rng.integers(0, 60, (size, SIDE, SIDE, 3))
        arrays[f"x_{part}"] = (noise + 150 * y[:, None, None, None]).astype(np.uint8)
        arrays[f"y_{part}"] = y
    np.savez(folder / "images.npz", **arrays)
    grey = {k: a[..., 0] if k.startswith("x") else a for k, a in arrays.items()}
    np.savez(folder / "grey.npz", **grey)
    weights = {}
    for name, shape in BACKBONES["squeezenet1_1"]().shapes.items():
        scale = np.sqrt(2 / np.prod(shape[:-1])) if name.endswith("kernel") else 0.0
        weights[name] = (scale * rng.normal(size=shape)).astype(np.float32)
    np.savez(folder / "weights.npz", **weights)
    return folder


@pytest.fixture
def config(files):
    """`config("training.epochs=2")`: a small hybrid experiment, changed."""

    def make(*overrides):
        values = {
            "name": "tiny",
            "data": {"kind": "npz", "path": str(files / "images.npz")},
            "transform": [
                {
                    "kind": "features",
                    "backbone": "squeezenet1_1",
                    "weights": str(files / "weights.npz"),
                    "cache": str(files / "cache"),
                }
            ],
            "partition": {"num_clients": 4},
            "model": {"kind": "hybrid"},
            "training": {"batch_size": 3},
            "optimizer": {"head_learning_rate": 1e-3},
            "federation": {"rounds": 2},
        }
        override(values, overrides)
        return parse_config(values)

    return make


def test_a_round_learns_from_cached_features(config, files):
    federation = build_experiment(config()).federation
    start = federation.init()
    state, record = federation.run_round(start)
    assert np.isfinite([record.train_loss, record.test_loss]).all()
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), start.params, state.params)
    assert 0 < moved["head"]["linear0"]["kernel"] < 0.01 < 2 * moved["circuit"]
    (cache,) = (files / "cache").iterdir()
    written = cache.stat().st_mtime_ns
    experiment = build_experiment(config("engine.dtype=float64"))
    assert cache.stat().st_mtime_ns == written  # the precision of training does not matter
    assert experiment.dataset.x_train.shape == (24, 512)
    assert experiment.dataset.x_train.dtype == np.float32
    assert experiment.dataset.x_train.std() > 0


def test_grey_images_count_for_three_channels(config, files):
    grey = build_experiment(config(f"data.path={files / 'grey.npz'}")).dataset
    with np.load(files / "grey.npz") as arrays:
        colour = {k: np.stack([a] * 3, -1) if k.startswith("x") else a for k, a in arrays.items()}
    np.savez(files / "colour.npz", **colour)
    same = build_experiment(config(f"data.path={files / 'colour.npz'}")).dataset
    np.testing.assert_allclose(grey.x_test, same.x_test, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (
            ["transform.0.image_side=30"],
            ConfigError,
            "takes images from 31 pixels a side.* have 30",
        ),
        (
            ["transform=[{kind='signed'}, {kind='features', backbone='squeezenet1_1'}]"],
            ConfigError,
            "scales pixels of 0 to 1 itself",
        ),
        (["transform.0.weights=absent.npz"], DataError, "no file at absent.npz"),
        (
            ["transform.0.backbone=vgg16", "transform.0.image_side=32"],
            DataError,
            r"lacks `conv1_1/kernel` .*of vgg16",
        ),
        (["model.kind=mlp"], ConfigError, "head_learning_rate is for models with a head"),
        (["model.num_qubits=1"], ConfigError, "read-out `z` of 1 qubits has 1 values for 2"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(config, overrides, error, message):
    with pytest.raises(error, match=message) as raised:
        build_experiment(config(*overrides))
    assert "\n" not in str(raised.value)


def test_samples_that_are_no_images_are_refused(config, tmp_path):
    arrays = {"x": np.ones((2, 5), np.uint8), "y": np.arange(2)}
    parts = {f"{k}_{p}": array for k, array in arrays.items() for p in ("train", "test")}
    np.savez(tmp_path / "rows.npz", **parts)
    with pytest.raises(ConfigError, match=r"takes images, .*samples of shape \(5,\)"):
        build_experiment(config(f"data.path={tmp_path / 'rows.npz'}"))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_head_and_circuit_move_at_their_own_rates(optimizer):
    """A first step is proportional to the rate, so the ratio of steps is that of the rates."""
    params = {"head": {"linear0": jnp.ones(3)}, "circuit": jnp.ones(3)}
    gradient = jax.tree.map(lambda leaf: jnp.arange(1.0, 4.0) * leaf, params)
    keys = {"learning_rate": 0.2, "head_learning_rate": 0.01, "kind": optimizer}
    context = Context(0, 2, 2, "float32", np.random.default_rng(0), params=params)
    config = find_section("optimizer", optimizer, Path())(**keys)
    opt = build(config, context, optax.GradientTransformation)
    updates, _ = opt.update(gradient, opt.init(params), params)
    moved = jax.tree.map(lambda a, b: b - a, params, optax.apply_updates(params, updates))
    np.testing.assert_allclose(moved["circuit"], 20 * moved["head"]["linear0"], rtol=1e-4)
    assert float(moved["circuit"][0]) < 0
