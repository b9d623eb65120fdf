"""Exact noise against its yardsticks: golden values, the density matrix, the noiseless engine."""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.errors import CircuitError
from fedket.quantum import ansatz, noise
from fedket.quantum.circuit import make_circuit
from fedket.quantum.encoding import arctan_state
from fedket.quantum.engine import run_circuit
from fedket.quantum.noise.plan import plan_noisy
from fedket.quantum.noise.reference import reference_density, reference_probabilities
from fedket.quantum.readout import expval
from tests.compilations import compiled_programs
from tests.quantum.circuits import CIRCUITS, random_inputs
from tests.quantum.noise_models import ASYMMETRIC, GOLDEN, MODELS

PAIRS = [
    ("qfedfisher, folded chain, odd", "damping"),
    ("qunetqfl, trailing signs", "asymmetric"),
    ("qunetqfl, trailing signs", "destroying"),
    ("chen_yoo, ring by gather", "depolarising"),
    ("chen_yoo, ring by gather", "destroying"),
    ("one qubit", "damping"),
    ("repeated and mixed monomials", "depolarising"),
    ("repeated and mixed monomials", "asymmetric"),
    ("controlled rotations", "asymmetric"),
    ("controlled rotations", "damping"),
]
"""Circuits and noise models that together reach every way in which noise joins a layer."""
# PennyLane 0.45.1, default.mixed, float64: <Z0>, <Z1>, d<Z0>/dtheta[0, 1], |gradient of <Z0>|
VALUES = {
    "no noise": (0.046121663363, 0.094424156718, 0.050617764986, 0.565926597170),
    "A": (0.024103165236, 0.061741846404, 0.023584407729, 0.333939717405),
    "B": (0.055957264134, 0.080085826207, 0.018198500164, 0.304386976144),
}


def golden_inputs():
    """chen_yoo of 4 qubits, angles 0.1, 0.2, …, and one encoded sample."""
    angles = jnp.asarray(0.1 * np.arange(1, 25).reshape(2, 12))
    return ansatz.chen_yoo(4, 2), angles, arctan_state(jnp.asarray([[0.1, -0.4, 0.7, 1.2]]), 4)


def reference_values(circuit, model, params, psi):
    """⟨Z_q⟩ of every qubit as it is read, and the probability of each outcome."""
    outcomes = reference_probabilities(reference_density(circuit, model, params, psi), model)
    n = circuit.num_qubits
    bits = np.arange(2**n)[:, None] >> np.arange(n)[::-1] & 1
    return jnp.concatenate([outcomes.T @ (1.0 - 2 * bits), outcomes.T], axis=1)


def exact_values(circuit, model, params, psi):
    n = circuit.num_qubits
    averages = noise.expval(circuit, model, params, psi, *(f"Z{q}" for q in range(n)))
    return jnp.concatenate(
        [averages, noise.probabilities(circuit, model, params, psi, 2**n)], axis=1
    )


@lru_cache
def gradients(circuit, model, which):
    """Jitted values, and the gradient of a mix of them in angles and states."""
    values = {"exact": exact_values, "reference": reference_values}[which]

    def loss(params, psi):
        found = values(circuit, model, params, psi)
        mix = np.random.default_rng(0).normal(size=found.shape)
        return jnp.sum(jnp.sin(found) * mix), found

    return jax.jit(jax.grad(loss, (0, 1), has_aux=True))


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values_of_pennylane(name):
    with jax.enable_x64(True):
        circuit, angles, psi = golden_inputs()

        def z0(params):
            found = noise.expval(circuit, GOLDEN[name], params, psi, "Z0", "Z1")[0]
            return found[0], found

        gradient, values = jax.jit(jax.grad(z0, has_aux=True))(angles)
    found = [*values, gradient[0, 1], np.linalg.norm(gradient)]
    np.testing.assert_allclose(found, VALUES[name], atol=1e-10)


def test_golden_values_with_readout_errors():
    with jax.enable_x64(True):
        circuit, angles, psi = golden_inputs()
        model = GOLDEN["B"] + noise.readout_error(0.02, 0.05)
        found = noise.expval(circuit, model, angles, psi, "Z0", "Z0 Z1")
    np.testing.assert_allclose(found, [[0.082040255644, -0.226618870464]], atol=1e-10)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        pytest.param(
            *pair, marks=[pytest.mark.long] * (place > 0 and pair[0] == PAIRS[place - 1][0])
        )
        for place, pair in enumerate(PAIRS)
    ],
)
def test_values_and_gradients_are_those_of_the_density_matrix(name, model):
    circuit = CIRCUITS[name]
    with jax.enable_x64(True):
        inputs = random_inputs(circuit, len(name), 3)
        found = gradients(circuit, MODELS[model], "exact")(*inputs)
        expected = gradients(circuit, MODELS[model], "reference")(*inputs)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-10), found, expected)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize(
    ("name", "double"),
    [
        ("qfedfisher, folded chain, odd", True),
        ("chen_yoo, ring by gather", True),
        ("chen_yoo, ring by gather", False),
        ("one qubit", True),
        ("controlled rotations", True),
    ],
)
def test_without_noise_values_and_gradients_are_those_of_the_plain_engine(name, double):
    circuit = CIRCUITS[name]
    observables = ["X0", "Y0" if circuit.num_qubits == 1 else "Y0 Z3"]

    def noisy(params, psi):
        return noise.expval(circuit, noise.NoiseModel(), params, psi, *observables)

    def plain(params, psi):
        return expval(run_circuit(circuit, params, psi), *observables)

    def with_gradient(values):
        def both(params, psi):
            found, pull_back = jax.vjp(values, params, psi)
            return found, pull_back(found)[0]

        return jax.jit(both)

    with jax.enable_x64(double):
        inputs = tuple(map(jnp.asarray, random_inputs(circuit, 1, 5)))
        found, expected = with_gradient(noisy)(*inputs), with_gradient(plain)(*inputs)
    tolerance = 1e-12 if double else 5e-6
    jax.tree.map(partial(np.testing.assert_allclose, atol=tolerance), found, expected)


def test_depolarising_noise_commutes_with_rotations():
    """Its place among one-qubit gates does not matter, so neither does the gate that it follows."""
    circuit = make_circuit(2, [("RY", 0), ("RX", 0), ("Rot", 1), ("CNOT", 0, 1)], 3)
    one = noise.channels.depolarising(0.1)
    with jax.enable_x64(True):
        inputs = tuple(map(jnp.asarray, random_inputs(circuit, 0, 2)))
        first, second = (
            noise.expval(circuit, noise.after(one, gate), *inputs, "Z0", "X1 Y0")
            for gate in ("RX", "RY")
        )
    np.testing.assert_allclose(first, second, atol=1e-14)
    assert len(plan_noisy(circuit, noise.depolarising(0.1, 0.1))) == 2


def test_a_fully_depolarised_circuit_knows_nothing():
    circuit = ansatz.chen_yoo(3, 2)
    with jax.enable_x64(True):
        inputs = tuple(map(jnp.asarray, random_inputs(circuit, 0, 2)))
        (angles, states), found = gradients(circuit, noise.depolarising(1.0, 1.0), "exact")(*inputs)
    np.testing.assert_allclose(found[:, :3], 0, atol=1e-14)
    np.testing.assert_allclose(found[:, 3:], 1 / 8, atol=1e-14)
    np.testing.assert_allclose(angles, 0, atol=1e-14)
    assert np.isfinite(states).all()


@pytest.mark.parametrize("batch", [1, 40])
def test_clients_are_the_callers_vmap(batch):
    circuit = ansatz.qunetqfl(4, 2)
    inputs = [random_inputs(circuit, seed, batch) for seed in range(3)]
    angles = jnp.stack([jnp.asarray(a, jnp.float32) for a, _ in inputs])
    states = jnp.stack([jnp.asarray(p, jnp.complex64) for _, p in inputs])

    def loss(params, psi):
        return jnp.sum(noise.expval(circuit, MODELS["damping"], params, psi, "Z0", "Z2") ** 2)

    together = jax.jit(jax.vmap(jax.grad(loss)))(angles, states)
    one = jax.jit(jax.grad(loss))
    for row, params, psi in zip(together, angles, states, strict=True):
        np.testing.assert_allclose(row, one(params, psi), atol=1e-5)


def test_an_equal_noise_model_compiles_nothing_anew():
    circuit = ansatz.chen_yoo(3, 2)
    angles, psi = random_inputs(circuit, 0, 2)
    psi = jnp.asarray(psi, jnp.complex64)

    @partial(jax.jit, static_argnums=1)
    def value(params, model):
        return noise.expval(circuit, model, params, psi, "Z0")

    first = value(jnp.asarray(angles, jnp.float32), noise.depolarising(0.01, 0.02))
    with compiled_programs() as names:
        again = value(jnp.asarray(angles + 1, jnp.float32), noise.depolarising(0.01, 0.02))
    assert names == []
    assert not np.array_equal(first, again)


def test_compiled_size_does_not_grow_with_depth():
    def program(num_layers):
        circuit = ansatz.qunetqfl(4, num_layers)
        params = jax.ShapeDtypeStruct(circuit.params_shape, jnp.float32)
        psi = jax.ShapeDtypeStruct((16, 8), jnp.complex64)
        grad = jax.grad(lambda p, s: noise.expval(circuit, MODELS["damping"], p, s, "Z0").sum())
        return jax.jit(grad).lower(params, psi).as_text().count("\n")

    assert program(5) == program(50)


@pytest.mark.parametrize(
    ("circuit", "model", "said"),
    [
        (ansatz.qfedfisher(11, 1), noise.depolarising(0.1), "up to 10 qubits, this one has 11"),
        (ansatz.qunetqfl(8, 1), ASYMMETRIC, "read-out errors of 7 qubits, the circuit has 8"),
    ],
)
def test_what_the_exact_method_does_not_serve_is_refused(circuit, model, said):
    psi = jnp.zeros((2**circuit.num_qubits, 1), jnp.complex64)
    with pytest.raises(CircuitError, match=said):
        noise.expval(circuit, model, jnp.zeros(circuit.params_shape), psi, "Z0")


def test_shapes_and_strings_that_do_not_fit_are_refused():
    circuit, psi = ansatz.chen_yoo(), jnp.zeros((16, 1), jnp.complex64)
    model = noise.depolarising(0.1)
    with pytest.raises(CircuitError, match=r"takes angles \(2, 12\) and states \(16, batch\)"):
        noise.expval(circuit, model, jnp.zeros((2, 11)), psi, "Z0")
    with pytest.raises(CircuitError, match="name an observable"):
        noise.expval(circuit, model, jnp.zeros((2, 12)), psi)
    with pytest.raises(CircuitError, match="not a Pauli string"):
        noise.expval(circuit, model, jnp.zeros((2, 12)), psi, "W0")


def test_memory_grows_with_depth_as_it_is_said_to(monkeypatch):
    model = MODELS["damping"]

    def compiled(num_layers):
        circuit = ansatz.qunetqfl(6, num_layers)
        params = jax.ShapeDtypeStruct(circuit.params_shape, jnp.float32)
        psi = jax.ShapeDtypeStruct((64, 8), jnp.complex64)
        grad = jax.grad(lambda p, s: noise.expval(circuit, model, p, s, "Z0", "Z1").sum())
        found = jax.jit(grad).lower(params, psi).compile().memory_analysis()
        return found.temp_size_in_bytes, noise.exact_bytes(circuit, model, 2)

    (few, few_said), (many, many_said) = compiled(4), compiled(24)
    np.testing.assert_allclose(many - few, many_said - few_said, rtol=0.1)
    assert few <= few_said
    monkeypatch.setattr("fedket.quantum.noise.memory.available_bytes", lambda: 1000)
    with pytest.raises(CircuitError, match=r"2 values under exact noise, 6 .* use fewer qubits"):
        noise.check_exact_memory(ansatz.qunetqfl(6, 4), model, 2)
