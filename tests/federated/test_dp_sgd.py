"""DP-SGD's steps: plain ones without noise, bounded in each sample, noised as asked for."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fedket.federated.dp_sgd import private_gradient
from fedket.federated.local import LocalTraining, local_train
from fedket.federated.losses import cross_entropy
from fedket.models.classical import mlp

MODEL = mlp(4, 3)
X = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
Y = np.arange(16, dtype=np.int32) % 3


@pytest.fixture(scope="module")
def params():
    return MODEL.init(jax.random.key(0))


@partial(jax.jit, static_argnums=0)
def gradient(valid_count, clip, noise, params, x, seed):
    valid = jnp.arange(16) < valid_count
    step = private_gradient(clip, noise)
    return step(MODEL, cross_entropy, params, x, jnp.asarray(Y), valid, jax.random.key(seed))[0]


def flat(tree):
    return np.concatenate([np.asarray(leaf).reshape(-1) for leaf in jax.tree.leaves(tree)])


def test_without_noise_and_with_a_large_clip_training_is_plain(params):
    def train(made):
        training = LocalTraining(optax.sgd(0.1), epochs=2, batch_size=8, gradient=made)
        state = training.optimizer.init(params)
        rows, mask, rng = jnp.arange(16), jnp.ones(16, bool), jax.random.key(1)
        return jax.jit(partial(local_train, MODEL, training, 0.3))(
            params, state, jnp.asarray(X), jnp.asarray(Y), rows, mask, rng
        )

    plain, private = train(None), train(private_gradient(1e6, 0.0))
    np.testing.assert_allclose(flat(private.params), flat(plain.params), atol=1e-6)
    np.testing.assert_allclose(private.loss, plain.loss, rtol=1e-6)


def test_no_sample_changes_a_step_by_more_than_the_clip(params):
    """The sum over a batch, which is what noise is added to, whatever the sample."""
    clip = 0.2
    for row, size in ((3, 1.0), (7, 1e4), (15, 0.0)):
        other = X.copy()
        other[row] *= size
        with_one, without = (gradient(16, clip, 0.0, params, x, 0) for x in (other, X))
        assert np.linalg.norm(flat(with_one) - flat(without)) * 16 <= 2 * clip + 1e-6
    one = gradient(1, clip, 0.0, params, 1e3 * X, 0)
    assert np.linalg.norm(flat(one)) * 16 == pytest.approx(clip, rel=1e-5)


def test_noise_has_the_deviation_that_was_asked_for_whatever_the_batch(params):
    clip, noise = 0.5, 3.0
    for count in (0, 16):
        exact = flat(gradient(count, clip, 0.0, params, X, 0))
        drawn = np.stack([flat(gradient(count, clip, noise, params, X, s)) for s in range(200)])
        assert (drawn - exact).std() == pytest.approx(noise * clip / 16, rel=0.05)
