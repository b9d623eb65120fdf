"""Circuits by name, and models around them: federated clients train them, masked or not alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.experiment.build import build_experiment
from fedket.federated.losses import cross_entropy
from tests.experiment.tiny import config_of

MODELS = {
    **{
        name: f"{{kind='vqc', circuit='{name}', num_qubits=4, num_layers=2, encoding='angle'}}"
        for name in ("strongly_entangling", "two_local", "two_local_ring")
    },
    "qcnn": (
        "{kind='vqc', circuit='qcnn', num_qubits=4, num_layers=2, encoding='angle', readout='z0'}"
    ),
    "reuploading": "{kind='reuploading', num_qubits=2, num_layers=2}",
    "mps": "{kind='mps', bond=2, logit_scale=4.0}",
}


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """Four features in [0, 2], two classes."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, size in (("train", 32), ("test", 16)):
        y = np.arange(size) % 2
        x = rng.uniform(0, 1, (size, 4)) + y[:, None]
        arrays |= {f"x_{part}": x.astype(np.float32), f"y_{part}": y}
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, **arrays)
    return path


def experiment_of(blobs, name, aggregation="quantised"):
    return config_of(
        blobs,
        f"model={MODELS[name]}",
        f"aggregation.kind={aggregation}",
        "partition.num_clients=2",
        "optimizer={kind='adam', learning_rate=0.05}",
        "training={batch_size=8, epochs=2}",
        "federation.rounds=1",
    )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("two_local", "mps") else pytest.mark.long)
        for name in MODELS
    ],
)
def test_a_round_lowers_the_loss_and_masks_change_nothing(name, blobs):
    built = build_experiment(experiment_of(blobs, name))
    federation, model, data = built.federation, built.model, built.dataset
    x, y = jnp.asarray(data.x_train), jnp.asarray(data.y_train)
    before = federation.init()
    after, _ = federation.run_round(before, False)

    @jax.jit
    def loss(params):
        return cross_entropy(model.apply(params, x), y).mean()

    assert loss(after.params) < loss(before.params)
    if name == "two_local":  # masks see numbers, whatever model they are of
        masked = build_experiment(experiment_of(blobs, name, "pairwise_masks")).federation
        hidden, _ = masked.run_round(masked.init(), False)
        jax.tree.map(np.testing.assert_array_equal, hidden.params, after.params)
