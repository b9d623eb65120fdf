"""The engine against two yardsticks: the plain simulator here, PennyLane in its own file."""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import CircuitError
from fedket.quantum import ansatz
from fedket.quantum.engine import circuit_unitary, run_circuit
from fedket.quantum.plan import plan_layer
from fedket.quantum.readout import expval
from fedket.quantum.reference import reference_run
from tests.quantum.circuits import CIRCUITS, random_inputs

SEEDS = st.integers(0, 2**31 - 1)
BATCH = 5


def scalar_loss(run, params, psi, weights):
    """Sensitive to every amplitude's modulus and phase."""
    final = run(params, psi)
    return jnp.sum(jnp.real(final * weights)) + jnp.sum(jnp.abs(final) ** 4)


@lru_cache
def gradients(name, which):
    """Jitted value and gradient in angles and states, per circuit and simulator."""
    run = {"engine": run_circuit, "reference": reference_run}[which]
    return jax.jit(jax.value_and_grad(partial(scalar_loss, partial(run, CIRCUITS[name])), (0, 1)))


@lru_cache
def final_states(name):
    return jax.jit(partial(run_circuit, CIRCUITS[name]))


@pytest.mark.parametrize("name", CIRCUITS)
@given(seed=SEEDS)
def test_adjoint_gradients_equal_automatic_differentiation(name, seed):
    angles, psi = random_inputs(CIRCUITS[name], seed, BATCH)
    _, weights = random_inputs(CIRCUITS[name], seed + 1, BATCH)
    with jax.enable_x64(True):
        found = gradients(name, "engine")(angles, psi, weights)
        expected = gradients(name, "reference")(angles, psi, weights)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-10), found, expected)


@lru_cache
def curvatures(name, which):
    """Jitted derivatives of the gradient's norm, in angles and states: second derivatives."""
    run = {"engine": run_circuit, "reference": reference_run}[which]
    loss = partial(scalar_loss, partial(run, CIRCUITS[name]))

    def norm(*arguments):
        return sum(jnp.sum(jnp.abs(part) ** 2) for part in jax.grad(loss, (0, 1))(*arguments))

    return jax.jit(jax.grad(norm, (0, 1)))


@pytest.mark.parametrize(
    "name",
    [
        "qunetqfl, trailing signs",
        pytest.param("controlled rotations", marks=pytest.mark.long),
    ],
)
def test_gradients_have_gradients(name):
    angles, psi = random_inputs(CIRCUITS[name], 0, BATCH)
    _, weights = random_inputs(CIRCUITS[name], 1, BATCH)
    with jax.enable_x64(True):
        found = curvatures(name, "engine")(angles, psi, weights)
        expected = curvatures(name, "reference")(angles, psi, weights)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-9), found, expected)


@pytest.mark.parametrize("name", ["qunetqfl, trailing signs", "controlled rotations"])
@pytest.mark.parametrize("batch", [1, 3, 40])
def test_every_batch_size_takes_a_correct_path(name, batch):
    """Narrow batches use windows, wide ones the circuit's unitary."""
    angles, psi = random_inputs(CIRCUITS[name], batch, batch)
    with jax.enable_x64(True):
        found = gradients(name, "engine")(angles, psi, psi.conj() * 1j)
        expected = gradients(name, "reference")(angles, psi, psi.conj() * 1j)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-10), found, expected)


@pytest.mark.parametrize("name", ["qfedfisher, folded chain, odd", "chen_yoo, ring by gather"])
def test_gradient_equals_the_parameter_shift_rule(name):
    """df/dθ = [f(θ + π/2) − f(θ − π/2)]/2 for gates with generator ±1/2 (arXiv:1811.11184)."""
    circuit = CIRCUITS[name]
    angles, psi = random_inputs(circuit, 0, 1)

    @jax.jit
    def energy(params):
        return expval(run_circuit(circuit, params, jnp.asarray(psi)), "Z1")[0, 0]

    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(energy))(angles)
        for place in np.ndindex(angles.shape):
            shift = np.zeros_like(angles)
            shift[place] = np.pi / 2
            difference = (energy(angles + shift) - energy(angles - shift)) / 2
            np.testing.assert_allclose(gradient[place], difference, atol=1e-10)


@pytest.mark.parametrize("name", CIRCUITS)
@given(seed=SEEDS)
def test_circuits_are_unitary(name, seed):
    angles, psi = random_inputs(CIRCUITS[name], seed, BATCH)
    with jax.enable_x64(True):
        final = final_states(name)(angles, psi)
    np.testing.assert_allclose(np.linalg.norm(final, axis=0), 1, atol=1e-12)


def test_single_precision_stays_single_and_close():
    name = "qfedfisher, two groups"
    angles, psi = random_inputs(CIRCUITS[name], 3, BATCH)
    single = final_states(name)(jnp.asarray(angles, jnp.float32), jnp.asarray(psi, jnp.complex64))
    with jax.enable_x64(True):
        double = final_states(name)(angles, psi)
        assert double.dtype == np.complex128
    assert single.dtype == np.complex64
    np.testing.assert_allclose(single, double, atol=1e-5)


def test_clients_are_the_callers_vmap():
    circuit = ansatz.qfedfisher(4, 2)
    inputs = [random_inputs(circuit, seed, BATCH) for seed in range(3)]
    angles = jnp.stack([jnp.asarray(a, jnp.float32) for a, _ in inputs])
    states = jnp.stack([jnp.asarray(p, jnp.complex64) for _, p in inputs])

    def loss(params, psi):
        return jnp.sum(expval(run_circuit(circuit, params, psi), "Z0", "Z2") ** 2)

    together = jax.jit(jax.vmap(jax.grad(loss)))(angles, states)
    one = jax.jit(jax.grad(loss))
    for row, params, psi in zip(together, angles, states, strict=True):
        np.testing.assert_allclose(row, one(params, psi), atol=1e-6)


def test_unitary_of_no_rotation_is_the_permutation_of_the_chain():
    """With all angles 0 QFedFisher's layer is its CNOT chain: |10> goes to |11>."""
    unitary = circuit_unitary(ansatz.qfedfisher(2, 1), jnp.zeros((1, 4)))
    np.testing.assert_allclose(unitary, np.eye(4)[[0, 1, 3, 2]], atol=1e-7)


def test_compiled_size_does_not_grow_with_depth():
    """Layers are scanned: ten times the depth, the same program but for array sizes."""

    def program(num_layers):
        circuit = ansatz.qfedfisher(6, num_layers)
        params = jax.ShapeDtypeStruct(circuit.params_shape, jnp.float32)
        psi = jax.ShapeDtypeStruct((64, 8), jnp.complex64)
        grad = jax.grad(lambda p, s: jnp.sum(jnp.abs(run_circuit(circuit, p, s)) ** 4))
        return jax.jit(grad).lower(params, psi).as_text().count("\n")

    assert program(5) == program(50)


def test_memory_of_the_backward_pass_does_not_grow_with_depth():
    """Temporaries grow by the layers' small matrices only, far below one state per layer."""

    def temporaries(num_layers):
        circuit = ansatz.qfedfisher(8, num_layers)
        params = jax.ShapeDtypeStruct(circuit.params_shape, jnp.float32)
        psi = jax.ShapeDtypeStruct((256, 64), jnp.complex64)
        grad = jax.grad(lambda p, s: jnp.sum(jnp.abs(run_circuit(circuit, p, s)) ** 4))
        return jax.jit(grad).lower(params, psi).compile().memory_analysis().temp_size_in_bytes

    state_bytes = 256 * 64 * 8
    assert temporaries(44) - temporaries(4) < 40 * state_bytes / 20


def test_a_chain_folds_into_the_rotations_and_a_ring_does_not():
    (block,) = plan_layer(ansatz.qfedfisher(6, 1), narrow=False)
    assert block.prelude is None
    assert [step.width for step in block.steps] == [3, 3, 2]
    (block,) = plan_layer(ansatz.chen_yoo(6, 1), narrow=False)
    assert block.prelude is not None


def test_quantum_trains_ring_needs_five_windows():
    windows = plan_layer(ansatz.quantum_train(13, 1), narrow=True)
    assert [block.qubits for block in windows] == [
        (0, 1, 2, 3),
        (3, 4, 5, 6),
        (6, 7, 8, 9),
        (9, 10, 11, 12),
        (0, 12),
    ]


def test_shapes_that_do_not_fit_are_refused():
    circuit = ansatz.chen_yoo()
    with pytest.raises(CircuitError, match=r"takes angles \(2, 12\) and states \(16, batch\)"):
        run_circuit(circuit, jnp.zeros((2, 11)), jnp.zeros((16, 1), jnp.complex64))
