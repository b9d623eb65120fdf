"""Schedules are their formulas, and a round's factor is the learning rate's, whatever optimises."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fedket.errors import ConfigError
from fedket.federated.learning_rates import (
    ConstantConfig,
    CosineConfig,
    ExponentialConfig,
    StepConfig,
    scaled_updates,
)
from fedket.federated.local import LocalTraining
from fedket.federated.losses import cross_entropy, squared_error, weighted_by_class
from fedket.federated.optax_kinds import loss_function, optimizer_section
from fedket.federated.optimizers import clipped_gradients
from fedket.federated.program import tunable
from fedket.section import Context
from tests.compilations import compiled_programs
from tests.federated.problems import run_rounds, small_federation

CONTEXT = Context(0, 4, 4, "float32", np.random.default_rng(0), rounds=10)


def test_schedules_are_those_of_optax_after_a_linear_rise():
    ours = {
        "cosine": CosineConfig(floor=0.1),
        "decay": ExponentialConfig(decay=0.9),
        "stairs": StepConfig(decay=0.5, every=4),
        "warmed": CosineConfig(warmup_rounds=4),
        "constant": ConstantConfig(),
    }
    theirs = {
        "cosine": optax.cosine_decay_schedule(1.0, 10, 0.1),
        "decay": optax.exponential_decay(1.0, 1, 0.9),
        "stairs": optax.exponential_decay(1.0, 4, 0.5, staircase=True),
        "warmed": optax.join_schedules(
            [optax.linear_schedule(0.25, 1.0, 3), optax.cosine_decay_schedule(1.0, 6)], [4]
        ),
        "constant": optax.constant_schedule(1.0),
    }
    made = {name: section.build(CONTEXT) for name, section in ours.items()}
    rounds = jnp.arange(1, 11)
    found = jax.jit(lambda r: {n: jax.vmap(s)(r) for n, s in made.items()})(rounds)
    wanted = jax.jit(lambda r: {n: jax.vmap(s)(r - 1) for n, s in theirs.items()})(rounds)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], np.broadcast_to(values, 10), atol=1e-6)


@pytest.mark.parametrize("make", [optax.sgd, optax.adam, optax.adamw, optax.lion])
def test_a_factor_of_the_updates_is_one_of_the_learning_rate(make):
    params, grads = jnp.array([1.0, -2.0]), jnp.array([0.3, 0.7])
    scaled = scaled_updates(make(0.1), jnp.asarray(0.25))
    found, _ = scaled.update(grads, scaled.init(params), params)
    plain = make(0.025)
    expected, _ = plain.update(grads, plain.init(params), params)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def trained(engine=None, **changes):
    options = {} if engine is None else {"engine": engine}
    training = LocalTraining(tunable(optax.sgd, 0.1), 1, 8)._replace(**changes)
    return run_rounds(small_federation(training=training, **options), 3)[0].params


def test_a_schedule_compiles_once_and_its_first_round_is_its_first_factor():
    exponential = ExponentialConfig(decay=0.5).build(CONTEXT)
    first = trained(schedule=exponential)
    with compiled_programs() as names:
        other = trained(schedule=ExponentialConfig(decay=0.25).build(CONTEXT))
    assert not [name for name in names if "train" in name]
    leaves = jax.tree.leaves
    assert any(not np.array_equal(a, b) for a, b in zip(leaves(first), leaves(other), strict=True))
    constant = trained(schedule=ConstantConfig().build(CONTEXT))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), constant, trained())


def test_gradients_are_scaled_down_to_the_norm_and_no_shorter_ones():
    params = {"a": jnp.zeros(2), "b": jnp.zeros(1)}
    clipped = clipped_gradients(1.0, optax.sgd(1.0))
    for norm, expected in ((5.0, 1.0), (0.5, 0.5)):
        grads = {"a": norm * jnp.array([0.6, 0.0]), "b": norm * jnp.array([0.8])}
        updates, _ = clipped.update(grads, clipped.init(params), params)
        assert np.hypot(*(jnp.abs(leaf).max() for leaf in updates.values())) == pytest.approx(
            expected
        )


def test_a_class_weight_counts_its_samples_that_often():
    logits = jnp.array([[0.2, 1.0], [0.5, -0.5], [1.0, 1.0]])
    y = jnp.array([0, 1, 1])
    often, rows = jnp.array([3.0, 1.0]), jnp.array([0, 0, 0, 1, 2])

    @jax.jit
    def both():
        weighted = weighted_by_class(often, cross_entropy, logits, y)
        return weighted.sum(), cross_entropy(logits[rows], y[rows]).sum()

    np.testing.assert_allclose(*both(), rtol=1e-6)


def test_optax_optimisers_take_their_own_arguments():
    section = optimizer_section("adamw")
    made = section.model_validate({"kind": "optax:adamw", "weight_decay": 0.1, "b1": 0.8})
    optimizer = made.build(CONTEXT)
    params, grads = jnp.array([1.0, -2.0]), jnp.array([0.3, 0.7])
    found, _ = optimizer.update(grads, optimizer.init(params), params)
    plain = optax.adamw(0.01, b1=0.8, weight_decay=0.1)
    expected, _ = plain.update(grads, plain.init(params), params)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert optimizer_section("adamw") is section
    with pytest.raises(ConfigError, match="did you mean `adamw`"):
        optimizer_section("adamww")


@pytest.mark.parametrize(
    "name", ["adabelief", "adafactor", "lamb", "nadamw", "novograd", "radam", "rmsprop", "yogi"]
)
def test_every_optimiser_of_optax_goes_downhill_with_its_defaults(name):
    optimizer = optimizer_section(name)().build(CONTEXT)
    step = jax.jit(lambda w: optimizer.update(w, optimizer.init(w), w)[0])
    params = np.array([1.0, -2.0], np.float32)
    assert np.asarray(step(params)) @ params < 0


def test_optax_losses_are_ours_where_both_have_one():
    rng = np.random.default_rng(0)
    logits, y = jnp.asarray(rng.normal(size=(5, 3)), jnp.float32), jnp.array([0, 1, 2, 1, 0])
    same = "softmax_cross_entropy", "softmax_cross_entropy_with_integer_labels", "squared_error"
    names = *same, "multiclass_hinge_loss", "sigmoid_focal_loss", "huber_loss"
    found = jax.jit(lambda z: {name: loss_function(name)(z, y) for name in names})(logits)
    ours = dict(zip(same, (cross_entropy, cross_entropy, squared_error), strict=True))
    for name, losses in found.items():
        assert losses.shape == (5,)
        assert np.isfinite(losses).all()
        if name in ours:
            np.testing.assert_allclose(losses, ours[name](logits, y), rtol=1e-5)
    with pytest.raises(ConfigError, match="did you mean `huber_loss`"):
        loss_function("hubber_loss")
