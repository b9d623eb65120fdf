"""Local training: against a plain loop, and independent of padding."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.federated.local import LocalTraining, local_train, masked_loss, shuffled
from fedket.federated.strategies import fed_prox
from fedket.models.classical import mlp
from fedket.rng import Purpose, rng_for
from tests.federated.problems import blobs, run_rounds, small_federation

MODEL = mlp(4, 2)


TRAINING = LocalTraining(optax.adam(0.1), epochs=2, batch_size=5)
TRAIN = jax.jit(partial(local_train, MODEL, TRAINING, None))


@given(seed=st.integers(0, 2**31 - 2))
def test_padding_changes_nothing(seed):
    dataset, _ = blobs(seed)
    params = MODEL.init(jax.random.key(seed))
    state, rng = TRAINING.optimizer.init(params), jax.random.key(seed + 1)
    results = []
    for length in (13, 29):
        x = jnp.asarray(np.resize(dataset.x_train[:13], (length, 4)))
        y = jnp.asarray(np.resize(dataset.y_train[:13], length))
        rows = jnp.arange(length)
        results.append(TRAIN(params, state, x, y, rows, rows < 13, rng))
    jax.tree.map(np.testing.assert_array_equal, *results)


def test_one_client_with_all_data_is_centralised_training():
    """FedAvg of one client with a persistent optimiser is a plain training loop."""
    rounds, size, seed = 3, 8, 3
    training = LocalTraining(optax.adam(0.05), 2, size, persistent=True)
    federation = small_federation(sizes=(43,), training=training, seed=seed)
    state, _ = run_rounds(federation, rounds)

    dataset, _ = blobs(sizes=(43,))
    x, y = jnp.asarray(dataset.x_train), jnp.asarray(dataset.y_train)
    model = mlp(4, 2, (5,))
    params = model.init(rng_for(seed, Purpose.INIT))
    opt_state = training.optimizer.init(params)

    @jax.jit
    def step(params, opt_state, batch):
        def loss(w):
            logits = model.apply(w, x[batch])
            return optax.softmax_cross_entropy_with_integer_labels(logits, y[batch]).mean()

        updates, opt_state = training.optimizer.update(jax.grad(loss)(params), opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    for round_num in range(1, rounds + 1):
        for epoch in range(training.epochs):
            rng = jax.random.fold_in(rng_for(seed, Purpose.TRAIN, round_num, 0), epoch)
            order = np.argsort(jax.random.uniform(rng, (43,)))
            for start in range(0, 43, size):
                params, opt_state = step(params, opt_state, order[start : start + size])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), state.params, params)


def test_every_sample_is_visited_once_per_epoch():
    visited = []
    dataset, _ = blobs()
    mask = np.arange(16) < 11

    def apply(params, x, rng=None):
        jax.debug.callback(lambda v: visited.append(np.asarray(v)), x[:, 0])
        return params + 0 * x[:, :2]

    x = jnp.asarray(dataset.x_train[:16]).at[:, 0].set(jnp.arange(16))
    training = LocalTraining(optax.sgd(0.0), epochs=1, batch_size=4)
    params = jnp.zeros(2)
    model = MODEL._replace(apply=apply)
    rng = jax.random.key(0)
    y = jnp.asarray(dataset.y_train[:16])
    state = training.optimizer.init(params)
    rows, mask = jnp.arange(16), jnp.asarray(mask)
    result = local_train(model, training, None, params, state, x, y, rows, mask, rng)
    jax.block_until_ready(result.params)
    jax.effects_barrier()
    seen = np.concatenate(visited)[:11]
    np.testing.assert_array_equal(np.sort(seen), np.arange(11))


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("length", [1, 9, 700])
def test_shuffling_sorts_tickets_and_keeps_ties_in_their_order(x64, length):
    with jax.enable_x64(x64):
        mask = jnp.arange(length) < max(1, length - 3)
        rngs = jax.random.split(jax.random.key(length), 20)
        found = jax.jit(jax.vmap(lambda rng: shuffled(rng, mask, 8)))(rngs)
        tickets = jax.vmap(lambda rng: jax.random.uniform(rng, mask.shape))(rngs)
        expected = np.argsort(np.where(mask, tickets, 2), axis=1, kind="stable")
    np.testing.assert_array_equal(found[:, :length], expected)
    assert not found[:, length:].any()
    assert found.shape[1] % 8 == 0


@pytest.mark.parametrize("mu", [0.1, 10.0])
def test_a_proximal_term_keeps_clients_near_the_global_model(mu):
    start = small_federation().init().params

    def distance(federation):
        moved = run_rounds(federation, 1)[0].params
        squares = jax.tree.map(lambda a, b: jnp.sum((a - b) ** 2), moved, start)
        return sum(map(float, jax.tree.leaves(squares)))

    assert distance(small_federation(strategy=fed_prox(mu))) < distance(small_federation())


def test_a_proximal_strength_of_zero_is_fed_avg():
    plain, _ = run_rounds(small_federation(), 2)
    prox, _ = run_rounds(small_federation(strategy=fed_prox(0.0)), 2)
    jax.tree.map(np.testing.assert_array_equal, plain.params, prox.params)


def test_the_masked_loss_ignores_what_is_masked():
    logits = jnp.array([[1.0, 2.0], [jnp.inf, 0.0], [3.0, -1.0]])
    y, mask = jnp.array([0, 1, 0]), jnp.array([True, False, True])
    expected = (np.log1p(np.exp(1.0)) + np.log1p(np.exp(-4.0))) / 2
    np.testing.assert_allclose(masked_loss(logits, y, mask), expected, rtol=1e-6)
