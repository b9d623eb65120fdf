"""Quantum natural gradient."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fedket.errors import ConfigError
from fedket.experiment.run import start_run
from fedket.federated.local import LocalTraining, local_train
from fedket.federated.optimizers import natural_gradient
from fedket.models.classical import mlp
from fedket.models.vqc import vqc
from fedket.quantum import ansatz
from tests.experiment.tiny import config_of
from tests.federated.problems import blobs

MODEL = vqc(ansatz.qunetqfl(3, 2), 2, encoding="amplitude", logit_scale=3.0)


def trained(optimizer, length=12, epochs=1, model=MODEL):
    """Parameters before and after full-batch steps on 12 samples, and the last loss."""
    dataset, _ = blobs()
    x, y = (jnp.asarray(np.resize(a[:12], (length, *a.shape[1:]))) for a in dataset[1:3])
    params, rows = model.init(jax.random.key(1)), jnp.arange(length)
    train = jax.jit(partial(local_train, model, LocalTraining(optimizer, epochs, length), None))
    found = train(params, optimizer.init(params), x, y, rows, rows < 12, jax.random.key(2))
    return params, found.params, found.loss


def test_a_step_solves_with_the_metric_of_the_valid_samples():
    params, plain, _ = trained(optax.sgd(1.0))
    x = jnp.asarray(blobs()[0].x_train[:12])
    metric = np.asarray(jax.jit(MODEL.metric)(params, x, jnp.ones(12, bool)))
    expected = np.linalg.solve(metric + 0.1 * np.eye(params.size), (params - plain).ravel())
    for length in (12, 20):
        _, natural, _ = trained(natural_gradient(0.5, 0.1), length)
        np.testing.assert_allclose((params - natural).ravel(), 0.5 * expected, atol=1e-5)


def test_it_learns_more_than_plain_gradient_descent_in_as_many_steps():
    _, _, natural = trained(natural_gradient(0.05, 0.01), epochs=30)
    _, _, plain = trained(optax.sgd(0.05), epochs=30)
    assert natural < plain - 0.01


def test_an_experiment_names_it_and_other_models_are_refused(blobs, tmp_path):
    circuit = "model={kind='vqc', circuit='qunetqfl', num_qubits=2, num_layers=1}"
    kind = "optimizer={kind='natural_gradient', learning_rate=0.1}"
    config = config_of(blobs, circuit, kind, "federation.rounds=2")
    assert np.isfinite(start_run(config, output=tmp_path / "run").summary.test_loss)
    with pytest.raises(ConfigError, match="`natural_gradient` needs the metric of a circuit's"):
        start_run(config_of(blobs, kind), output=tmp_path / "other")
    with pytest.raises(ConfigError, match="`natural_gradient` needs the metric"):
        start_run(config_of(blobs, circuit, kind, "noise={two_qubit=0.1}"), output=tmp_path / "n")
    with pytest.raises(ConfigError, match="`natural_gradient` needs the metric"):
        trained(natural_gradient(0.1), model=mlp(4, 2))
