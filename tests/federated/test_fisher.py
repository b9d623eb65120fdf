"""Per-sample gradients two ways, the Fisher estimates against numpy, and padding."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.federated.fisher import (
    FisherSettings,
    diagonal_fisher,
    full_fisher,
    normalise,
    per_sample_gradients,
)
from fedket.federated.losses import cross_entropy, squared_error
from fedket.models.classical import mlp
from fedket.models.vqc import vqc
from fedket.quantum import ansatz
from fedket.types import Model

CIRCUIT = vqc(ansatz.qfedfisher(3, 2), 3, readout="z", logit_scale=2.0)
PERCEPTRON = mlp(4, 3, (5,))


def problem(model, features, num_samples=12, seed=0):
    rng = np.random.default_rng(seed)
    params = jax.jit(model.init)(jax.random.key(seed))
    x = jnp.asarray(rng.normal(size=(num_samples, features)), jnp.float32)
    return params, x, jnp.asarray(rng.integers(0, 3, num_samples), jnp.int32)


def close(tree, other, atol=1e-5):
    jax.tree.map(partial(np.testing.assert_allclose, atol=atol), tree, other)


@pytest.mark.parametrize("loss", [cross_entropy, squared_error])
def test_the_fast_way_equals_one_sample_after_the_other(loss):
    params, x, y = problem(CIRCUIT, 8)
    slow_model = Model(CIRCUIT.init, CIRCUIT.apply)
    fast = jax.jit(partial(per_sample_gradients, CIRCUIT, loss=loss))(params, x, y)
    slow = jax.jit(partial(per_sample_gradients, slow_model, loss=loss))(params, x, y)
    assert fast.shape == (12, *params.shape)
    close(fast, slow)


@pytest.mark.parametrize("kind", ["empirical", "literal"])
@pytest.mark.parametrize(("model", "features"), [(CIRCUIT, 8), (PERCEPTRON, 4)])
def test_the_diagonal_is_that_of_the_definition(kind, model, features):
    params, x, y = problem(model, features)
    settings = FisherSettings(kind, "none", num_samples=0, batch_size=5)
    measure = jax.jit(partial(diagonal_fisher, settings, model))
    found = measure(params, x, y, jnp.ones(12, bool), jax.random.key(1))
    gradients = jax.jit(partial(per_sample_gradients, model))(params, x, y)
    expected = jax.tree.map(
        lambda g: (g**2).mean(0) if kind == "empirical" else g.mean(0) ** 2, gradients
    )
    close(found, expected)


@pytest.mark.parametrize("kind", ["empirical", "literal"])
@pytest.mark.parametrize("num_samples", [0, 4, 100])
def test_padding_changes_nothing(kind, num_samples):
    """Padding repeats a sample with another label; NaN features there would be seen too."""
    params, x, y = problem(CIRCUIT, 8)
    settings = FisherSettings(kind, "max", num_samples, batch_size=4)
    measure = jax.jit(partial(diagonal_fisher, settings, CIRCUIT))
    alone = measure(params, x, y, jnp.ones(12, bool), jax.random.key(1))
    x_more, y_more = jnp.concatenate([x, x[:7]]), jnp.concatenate([y, (y[:7] + 1) % 3])
    padded = measure(params, x_more, y_more, jnp.arange(19) < 12, jax.random.key(1))
    close(padded, alone)


def test_a_subset_is_drawn_from_all_samples():
    """One sample of two, over many draws: the mean tends to that of both."""
    params, x, y = problem(PERCEPTRON, 4, num_samples=2)
    both, one = (
        jax.jit(partial(diagonal_fisher, FisherSettings("empirical", "none", n), PERCEPTRON))
        for n in (0, 1)
    )
    mask = jnp.ones(2, bool)
    draws = [one(params, x, y, mask, jax.random.key(seed)) for seed in range(40)]
    sums = np.array([sum(leaf.sum() for leaf in jax.tree.leaves(draw)) for draw in draws])
    total = sum(leaf.sum() for leaf in jax.tree.leaves(both(params, x, y, mask, jax.random.key(0))))
    assert len(np.unique(sums.round(4))) == 2
    np.testing.assert_allclose(np.unique(sums.round(4)).mean(), total, rtol=1e-2)


def test_the_full_matrix_is_positive_and_has_the_diagonal():
    params, x, y = problem(CIRCUIT, 8)
    valid = jnp.arange(12) < 9
    matrix = np.asarray(jax.jit(partial(full_fisher, CIRCUIT))(params, x, y, valid))
    settings = FisherSettings("empirical", "none", num_samples=0)
    measure = jax.jit(partial(diagonal_fisher, settings, CIRCUIT))
    diagonal = measure(params, x, y, valid, jax.random.key(0))
    np.testing.assert_allclose(np.diag(matrix), diagonal.reshape(-1), atol=1e-5)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    assert np.linalg.eigvalsh(matrix).min() > -1e-5


def test_layers_are_normalised_by_themselves():
    rows = jnp.array([[1.0, 3.0, 5.0], [10.0, 20.0, 40.0], [0.0, 0.0, 0.0], [2.0, 2.0, 2.0]])
    expected = {
        "min_max": [[0, 0.5, 1], [0, 1 / 3, 1], [0, 0, 0], [1, 1, 1]],
        "max": [[0.2, 0.6, 1], [0.25, 0.5, 1], [0, 0, 0], [1, 1, 1]],
        "l1": [[1 / 9, 1 / 3, 5 / 9], [1 / 7, 2 / 7, 4 / 7], [0, 0, 0], [1 / 3] * 3],
        "none": rows,
    }
    for how, values in expected.items():
        np.testing.assert_allclose(normalise(rows, True, how), values, rtol=1e-6)
    np.testing.assert_allclose(normalise(rows, False, "max"), rows / 40, rtol=1e-6)


def test_a_tree_prefix_says_which_leaves_are_layered():
    tree = {"angles": jnp.array([[1.0, 2.0], [2.0, 8.0]]), "map": {"kernel": jnp.array([[1.0, 4]])}}
    found = normalise(tree, {"angles": True, "map": False}, "max")
    np.testing.assert_allclose(found["angles"], [[0.5, 1], [0.25, 1]])
    np.testing.assert_allclose(found["map"]["kernel"], [[0.25, 1]])
