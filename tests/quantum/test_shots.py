"""Finite shots: multinomial counts, shift rules, and gradients that only know values."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.errors import CircuitError
from fedket.quantum import ansatz, noise
from fedket.quantum.circuit import Circuit, Gate, make_circuit
from fedket.quantum.encoding import ENCODINGS, encoding_angles, rotated_state
from fedket.quantum.gates import GATES
from fedket.quantum.measurement import Measurement, expected_values, outcome_probabilities
from fedket.quantum.noise.reference import reference_density, reference_probabilities
from fedket.quantum.shots import (
    FOUR_TERMS,
    TWO_TERMS,
    Shots,
    draw_values,
    num_shifts,
    plan_shots,
    sample_frequencies,
    sampled_values,
    shift_rules,
)
from fedket.quantum.shots.gradients import with_own_slots
from fedket.quantum.shots.shift import shift_in_one_pass, shift_one_by_one
from tests.quantum.circuits import CIRCUITS, random_inputs
from tests.quantum.noise_models import ASYMMETRIC, MODELS

NOISY = noise.depolarising(0.02, 0.05) + noise.readout_error(0.02, 0.05)
CONTROLLED = make_circuit(2, [("Rot", 0), ("CU3", 1, 0), ("CRX", 0, 1)], 2)
SHARED = Circuit(2, (Gate("RY", (0,), (0,)), Gate("RX", (1,), (0,)), Gate("CRX", (0, 1), (0,))), 2)
"""One angle serves three gates."""


def all_z(circuit, model=None):
    return Measurement(circuit, model, tuple((q,) for q in range(circuit.num_qubits)))


def inputs_of(circuit, batch, dtype=jnp.float64):
    angles, psi = random_inputs(circuit, 0, batch)
    states = jnp.complex128 if dtype == jnp.float64 else jnp.complex64
    return jnp.asarray(angles, dtype), jnp.asarray(psi, states)


@pytest.mark.parametrize(("outcomes", "shots"), [(16, 1024), (16, 60), (128, 1500)])
def test_counts_are_multinomial(outcomes, shots):
    """Mean p and covariance (diag p − p pᵀ) / S, by a tree and by the inverse CDF."""
    draws = 1500
    probs = np.random.default_rng(0).dirichlet(np.full(outcomes, 0.5)).astype(np.float32)
    rows = jnp.broadcast_to(jnp.asarray(probs), (draws, outcomes))
    seen = np.asarray(
        jax.jit(partial(sample_frequencies, shots=shots))(jax.random.key(1), rows), np.float64
    )
    np.testing.assert_allclose(seen.sum(axis=1), 1, atol=1e-5)
    counts = seen * shots
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-2)
    spread = np.sqrt(probs * (1 - probs) / shots / draws)
    assert np.abs((seen.mean(axis=0) - probs) / (spread + 1e-9)).max() < 5
    expected = (np.diag(probs) - np.outer(probs, probs)) / shots
    off = np.cov(seen.T) - expected
    allowed = np.sqrt((np.outer(probs, probs) + np.diag(probs) / shots) * 2 / draws) / shots
    assert np.abs(off / (allowed + 1e-12)).max() < 6


def test_what_is_no_number_is_drawn_as_none():
    probs = jnp.full((1, 4), jnp.nan)
    for shots in (10, 2000):
        assert np.isnan(sample_frequencies(jax.random.key(0), probs, shots)).any()


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("chen_yoo, ring by gather", "depolarising"),
        ("controlled rotations", "asymmetric"),
        ("repeated and mixed monomials", "damping"),
    ],
)
def test_outcomes_are_those_of_the_density_matrix(name, model):
    circuit, model = CIRCUITS[name], MODELS[model]
    with jax.enable_x64(True):
        inputs = inputs_of(circuit, 3)
        found = jax.jit(partial(noise.outcome_probabilities, circuit, model))(*inputs)
        rho = jax.jit(partial(reference_density, circuit, model))(*inputs)
        expected = reference_probabilities(rho, model).T
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_outcomes_of_trajectories_average_to_the_exact_ones():
    circuit = ansatz.qunetqfl(3, 2)
    inputs = inputs_of(circuit, 2, jnp.float32)
    found = jax.jit(
        lambda *given: noise.trajectory_probabilities(
            circuit, NOISY, *given, jax.random.key(0), 2000
        )
    )(*inputs)
    exact = noise.outcome_probabilities(circuit, NOISY, *inputs)
    np.testing.assert_allclose(found, exact, atol=4 / np.sqrt(400))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, kind in GATES.items() if kind.num_angles])
def test_shift_rules_are_derivatives(name):
    """Of every gate and angle: the rule's sum against automatic differentiation."""
    kind = GATES[name]
    circuit = make_circuit(2, [("Rot", 0), ("Rot", 1), (name, *range(kind.num_qubits))], 1)
    for rule, slots in shift_rules(circuit).items():
        with jax.enable_x64(True):
            angles, psi = inputs_of(circuit, 1)
            after = make_circuit(2, [("RX", 0), ("RY", 1), ("CNOT", 0, 1), ("RX", 1)], 1)
            measured = Measurement(after, None, ((0,), (1,)))
            turn = jnp.full(after.params_shape, 0.7)

            @jax.jit
            def value(params, psi=psi, turn=turn, measured=measured):
                from fedket.quantum.engine import run_circuit

                return expected_values(measured, turn, run_circuit(circuit, params, psi)).sum()

            for slot in slots:
                shifted = [value(angles.at[0, slot].add(shift)) for shift in rule.shifts]
                expected = jax.grad(value)(angles)[0, slot]
                np.testing.assert_allclose(
                    np.dot(rule.factors, shifted), expected, atol=1e-12, err_msg=f"{slot}"
                )


def test_rotations_take_two_terms_and_controlled_ones_four():
    found = shift_rules(make_circuit(2, [("RY", 0), ("CRX", 0, 1), ("CU3", 1, 0)], 3))
    assert found == {TWO_TERMS: (0, 3, 4), FOUR_TERMS: (1, 2)}
    assert num_shifts(ansatz.chen_yoo(4, 2)) == 2 * 24


@pytest.mark.parametrize(
    ("circuit", "model", "outcomes"),
    [
        pytest.param(ansatz.qunetqfl(3, 2), None, 0, marks=pytest.mark.long),
        (CONTROLLED, ASYMMETRIC, 3),
        pytest.param(SHARED, NOISY, 0, marks=pytest.mark.long),
    ],
)
def test_shift_rules_at_infinite_shots_are_the_adjoint_gradient(circuit, model, outcomes):
    """Both ways, angles of the encoding included."""
    measured = (
        all_z(circuit, model) if not outcomes else Measurement(circuit, model, None, outcomes)
    )

    def gradient(shots):
        def loss(params, inputs):
            values = sampled_values(measured, shots, params, inputs, jax.random.key(0))
            return jnp.sum(jnp.sin(values) * jnp.arange(1.0, 1 + values.size).reshape(values.shape))

        return jax.jit(jax.grad(loss, (0, 1)))

    with jax.enable_x64(True):
        angles = jnp.asarray(random_inputs(circuit, 0, 1)[0])
        inputs = jax.random.normal(jax.random.key(1), (2, circuit.num_qubits, 2))
        given = angles, inputs
        expected = gradient(Shots(0, gradient="adjoint"))(*given)
        found = gradient(Shots(0, gradient="parameter_shift"))(*given)
        own, slots = with_own_slots(circuit)
        cotangent = jax.random.normal(jax.random.key(2), (2, measured.num_values))
        ways = [
            jax.jit(partial(way, measured._replace(circuit=own), 0))(
                angles[:, np.array(slots)], inputs, cotangent, jax.random.key(0)
            )
            for way in (shift_in_one_pass, shift_one_by_one)
        ]
    for one, other in (found, expected), ways:
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-10), one, other)


@pytest.mark.parametrize(("rule", "model"), [("parameter_shift", NOISY), ("spsa", None)])
def test_gradients_from_shots_are_right_on_average(rule, model):
    circuit = make_circuit(2, [("RY", 0), ("RX", 1), ("CNOT", 0, 1)], 1)
    measured = all_z(circuit, model)
    given = inputs_of(circuit, 2, jnp.float32)

    def gradient(shots, rng):
        def loss(params):
            return (sampled_values(measured, shots, params, given[1], rng) * mix).sum()

        return jax.grad(loss)(given[0])

    mix = jnp.array([1.0, -2.0])
    exact = np.asarray(gradient(Shots(0, gradient="adjoint"), jax.random.key(0)))
    shots = Shots(64, gradient=rule, spsa_step=0.05)
    rngs = jax.random.split(jax.random.key(3), 800)
    found = np.asarray(jax.jit(jax.vmap(partial(gradient, shots)))(rngs))
    error = found.std(axis=0) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - exact) < 5 * error + 5e-3).all()
    if rule == "parameter_shift":  # of a sum over 2 samples of (f₊ − f₋) / 2, |f| ≤ 1
        assert (found.var(axis=0) <= 1.2 * 2 * (1 + 4) / 2 / 64).all()


def test_shots_of_one_circuit_show_all_its_values():
    """Products of Zs of one sample come from the same bits."""
    circuit = ansatz.qunetqfl(2, 1)
    measured = Measurement(circuit, None, ((0,), (1,), (0, 1)))
    params, psi = inputs_of(circuit, 5, jnp.float32)
    for shots in (1, 3):
        first, second, both = np.asarray(
            draw_values(measured, shots, params, psi, jax.random.key(0))
        ).T
        if shots == 1:
            np.testing.assert_allclose(first * second, both)
        counts = (np.stack([first, second, both]) + 1) / 2 * shots
        np.testing.assert_allclose(counts, np.round(counts), atol=1e-5)


@pytest.mark.parametrize("circuit", [ansatz.qunetqfl(2, 1), ansatz.qunetqfl(9, 1)])
@pytest.mark.parametrize("model", [None, NOISY])
def test_values_from_shots_are_those_of_the_circuit_on_average(circuit, model):
    """Trajectories, of noise beyond 8 qubits, have a spread of their own."""
    measured = Measurement(
        circuit, model and model + noise.NoiseModel(trajectories=100), ((0,), (1,))
    )
    params, psi = inputs_of(circuit, 2, jnp.float32)
    many = jnp.repeat(psi, 50, axis=1)
    drawn = np.asarray(
        jax.jit(partial(draw_values, measured, 1000))(params, many, jax.random.key(0))
    ).reshape(2, 50, 2)
    exact = expected_values(measured._replace(noise=model and NOISY), params, psi)
    spread = np.sqrt(1 / 1000 + (1 / 100 if model and not measured.exact else 0))
    if model and not measured.exact:
        exact = expected_values(
            measured._replace(noise=NOISY + noise.NoiseModel(trajectories=2000)), params, psi
        )
    np.testing.assert_allclose(drawn.mean(axis=1), exact, atol=5 * spread / np.sqrt(50) + 0.02)
    assert drawn.std(axis=1).max() < 1.5 * spread


@pytest.mark.parametrize("encoding", ["angle", "arctan"])
def test_rotations_of_the_encoding_make_its_states(encoding):
    x = jax.random.normal(jax.random.key(0), (4, 3))
    found = rotated_state(encoding_angles(encoding, x, 3))
    np.testing.assert_allclose(found, ENCODINGS[encoding](x, 3), atol=1e-6)


def test_a_gate_without_a_rule_is_refused(monkeypatch):
    odd = GATES["RX"]._replace(matrix=lambda theta: GATES["RX"].matrix(3 * theta))
    monkeypatch.setitem(GATES, "Odd", odd)
    circuit = make_circuit(1, [("Odd", 0)], 1)
    with pytest.raises(CircuitError, match="no parameter-shift rule is known for Odd; use shots"):
        plan_shots(all_z(circuit), Shots())
    assert plan_shots(all_z(circuit), Shots(gradient="spsa")).circuits == 3


def test_how_shots_are_simulated_is_said():
    small, large = ansatz.chen_yoo(4, 2), ansatz.chen_yoo(9, 1)
    plan = plan_shots(all_z(small), Shots(1024))
    assert plan.circuits == 49
    assert plan.method.startswith("counts are drawn by a tree of binomials")
    assert "all shifted values come from one pass (8 qubits or fewer)" in plan.method
    said = plan_shots(all_z(large), Shots(100)).method
    assert "drawn shot by shot" in said
    assert "every shifted circuit is simulated" in said


def test_outcomes_without_noise_are_squares_of_amplitudes():
    circuit = ansatz.qunetqfl(3, 1)
    params, psi = inputs_of(circuit, 2, jnp.float32)
    found = outcome_probabilities(all_z(circuit), params, psi)
    noisy = outcome_probabilities(all_z(circuit, noise.NoiseModel()), params, psi)
    np.testing.assert_allclose(found, noisy, atol=1e-6)
