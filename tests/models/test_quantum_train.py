"""Networks named by their layers, and generators of their weights."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import ConfigError
from fedket.models.network import cut_weights, plan_network, run_network
from fedket.models.quantum_train import generate_weights, plan_generator, quantum_train
from fedket.quantum import noise
from fedket.quantum.noise.reference import reference_density, reference_probabilities
from fedket.quantum.shots import Shots

SMALL = plan_network(("conv 2 3", "pool", "relu", "linear 3"), (1, 6, 6))
"""2·9 + 2 + 3·8 + 3 = 47 weights."""
DAMPED = noise.amplitude_damping(0.05) + noise.readout_error(0.02, 0.05)


def num_params(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_qfed_trains_1497_numbers_that_generate_6690_weights():
    """QFed: 13 qubits, 1,248 angles, 249 numbers of the map; 77.6 % fewer parameters."""
    plan = plan_generator(plan_network())
    assert (plan.circuit.num_qubits, plan.circuit.num_params, plan.map.num_weights) == (
        13,
        1_248,
        249,
    )
    assert (plan.num_trained, plan.num_weights) == (1_497, 6_690)
    assert round(100 * (1 - plan.num_trained / plan.num_weights), 1) == 77.6
    params = quantum_train(plan).init(jax.random.key(0))
    assert num_params(params) == plan.num_trained
    weights = jax.jit(lambda p: generate_weights(plan, p))(params)
    assert weights.shape == (6_690,)
    np.testing.assert_allclose(weights.mean(), 0, atol=1e-6)
    x = jax.random.uniform(jax.random.key(1), (2, 28, 28))
    np.testing.assert_allclose(
        jax.jit(quantum_train(plan).apply)(params, x),
        run_network(plan.target, cut_weights(plan.target, weights), x),
        atol=1e-4,
    )


def test_the_last_ten_weights_are_the_output_bias():
    """The vector is cut conv1, conv2, fc1, fc2, each kernel before bias."""
    target = plan_network()
    assert [layer.name for layer in target.weighted] == ["conv1", "conv2", "fc1", "fc2"]
    weights = jnp.zeros(6_690).at[-10:].set(jnp.arange(10.0))
    logits = run_network(target, cut_weights(target, weights), jnp.ones((2, 28, 28)))
    np.testing.assert_array_equal(logits, np.tile(np.arange(10.0, dtype=np.float32), (2, 1)))


@pytest.mark.parametrize(
    ("layers", "weights", "qubits"),
    [
        (("linear 10",), 7_850, 13),
        (("conv 6 5", "relu", "pool", "conv 16 5", "relu", "pool", "linear 120", "linear 10"),
         6 * 26 + 16 * 151 + 120 * 257 + 10 * 121, 16),
    ],
)  # fmt: skip
def test_shapes_give_counts_and_qubits(layers, weights, qubits):
    plan = plan_generator(plan_network(layers))
    assert (plan.num_weights, plan.circuit.num_qubits) == (weights, qubits)


@pytest.mark.parametrize("blocks", [1, 2, 5, 47])
@pytest.mark.parametrize("map_kind", ["mlp", "linear"])
def test_blocks_need_fewer_qubits_and_every_number_is_used(blocks, map_kind):
    plan = plan_generator(SMALL, 1, map_kind, blocks)
    assert SMALL.num_weights == 47
    assert 2**plan.circuit.num_qubits * blocks >= 47
    assert plan.circuit.num_qubits == {1: 6, 2: 5, 5: 4, 47: 1}[blocks]
    model = quantum_train(plan)
    params = model.init(jax.random.key(0))
    assert num_params(params) == plan.num_trained
    loss = jax.jit(jax.grad(lambda p: (generate_weights(plan, p) ** 3).sum()))
    gradient = loss(params)["map"]
    assert all(np.abs(leaf).max() > 0 for i, leaf in enumerate(jax.tree.leaves(gradient)) if i % 2)


@given(seed=st.integers(0, 2**31 - 1))
def test_the_map_without_activations_is_one_affine_layer(seed):
    """So the linear map can generate whatever QFed's map can."""
    deep, flat = plan_generator(SMALL, 1, "mlp"), plan_generator(SMALL, 1, "linear")
    params = quantum_train(deep).init(jax.random.key(seed))
    kernel, bias = np.eye(7), np.zeros(7)
    for i in range(4):
        layer = params["map"][f"linear{i}"]
        kernel, bias = layer["kernel"] @ kernel, layer["kernel"] @ bias + layer["bias"]
    collapsed = {"linear0": {"kernel": jnp.asarray(kernel, jnp.float32), "bias": bias}}
    np.testing.assert_allclose(
        generate_weights(deep, params),
        generate_weights(flat, {"angles": params["angles"], "map": collapsed}),
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (("lstm 5", "linear 10"), "layer 1 of the network, `lstm 5`, is none of"),
        (("conv 8", "linear 10"), "`conv 8`, is none of conv CHANNELS K"),
        (("conv 0 5", "linear 10"), "`conv 0 5`, is none of"),
        (("conv 8 5", "pool", "conv 4 4", "pool", "linear 10"), "gets images of 9×9"),
        (("conv 8 29", "linear 10"), "larger than its images of 28×28"),
        (("linear 20", "conv 8 3", "linear 10"), "layer 2 .* gets a list of features"),
        (("dropout 1", "linear 10"), "`dropout 1`, is none of"),
        (("relu 3", "linear 10"), "`relu 3`, is none of"),
        (("conv 8 5", "pool"), "last layer .* must be `linear CLASSES`, got `pool`"),
    ],
)
def test_layers_that_cannot_be_shaped_are_refused(layers, message):
    with pytest.raises(ConfigError, match=message):
        plan_network(layers)


def test_generators_beyond_the_limit_name_the_blocks_that_help():
    large = plan_network(("linear 3000", "linear 10"))
    with pytest.raises(ConfigError, match=r"2,385,010 weights .* 3 or more"):
        plan_generator(large)
    assert plan_generator(large, blocks=3).circuit.num_qubits == 20


@pytest.mark.parametrize("model", [noise.depolarising(0.01, 0.05), DAMPED])
def test_a_noisy_generator_reads_the_density_matrix(model):
    plan = plan_generator(SMALL, num_layers=1, blocks=6)
    assert plan.circuit.num_qubits == 3
    noisy = quantum_train(plan, noise=model)
    params = noisy.init(jax.random.key(0))
    rho = jax.jit(partial(reference_density, plan.circuit, model))(
        params["angles"], jnp.eye(8, 1) + 0j
    )
    p = reference_probabilities(rho, model)[: plan.num_states, 0]
    expected = cut_weights(SMALL, generate_weights(plan, params, p))
    found = jax.jit(lambda params: noisy.plain_network(params)[1])(params)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), found, expected)
    x = jax.random.uniform(jax.random.key(1), (2, 6, 6))
    gradient = jax.jit(jax.grad(lambda params: noisy.apply(params, x, jax.random.key(2)).sum()))
    assert np.abs(gradient(params)["angles"]).max() > 0


def test_noise_of_a_large_generator_is_drawn_in_training_and_fixed_in_evaluation():
    plan = plan_generator(plan_network(("linear 2",), (150,)), num_layers=1)
    assert plan.circuit.num_qubits == 9
    noisy = quantum_train(plan, noise=noise.depolarising(0.2, 0.2))
    params, x = noisy.init(jax.random.key(0)), jax.random.uniform(jax.random.key(1), (2, 150))
    apply = jax.jit(noisy.apply)
    first, again, other = (apply(params, x, jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4
    np.testing.assert_array_equal(apply(params, x), apply(params, x))


@pytest.mark.parametrize("model", [None, pytest.param(DAMPED, marks=pytest.mark.long)])
def test_shots_of_a_generator_are_shared_by_all_samples(model):
    plan = plan_generator(SMALL, num_layers=1, blocks=6)
    rule = "spsa" if model is None else "parameter_shift"
    few = quantum_train(plan, noise=model, shots=Shots(100, 10**6, rule))
    params, x = few.init(jax.random.key(0)), jax.random.uniform(jax.random.key(1), (1, 6, 6))
    drawn = jax.jit(few.apply)(params, jnp.concatenate([x, x]), jax.random.key(2))
    np.testing.assert_allclose(drawn[0], drawn[1], atol=1e-6)
    infinite, many = few.apply(params, x), few.evaluate(params, x, jax.random.key(3))
    assert np.abs(drawn[:1] - infinite).max() > 5 * np.abs(many - infinite).max() > 0
    gradient = jax.jit(jax.grad(lambda params: few.apply(params, x, jax.random.key(2)).sum()))
    assert np.isfinite(gradient(params)["angles"]).all()
    # 3 U3 of three angles, two shifts each; 3 CU3 of one with four and two with two.
    assert few.shots.circuits == 1 + (2 if model is None else 3 * 6 + 3 * 8)
    assert few.shots.shared
