"""Pauli trajectories: on average the exact noise, one by one the pure engine."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.errors import CircuitError
from fedket.quantum import ansatz, native, noise
from fedket.quantum.circuit import make_circuit
from fedket.quantum.engine import run_circuit
from fedket.quantum.noise import channels, frame_run
from fedket.quantum.noise.drawn_run import cotangents, pull_back_drawn, run_drawn
from fedket.quantum.noise.frames import check_trajectories, pushes_forward, sample_frames
from fedket.quantum.noise.trajectories import trajectory_parity
from fedket.quantum.readout import expval_parity
from tests.quantum.circuits import random_inputs

CIRCUITS = {
    "chain, then rotations": ansatz.qfedfisher(4, 2),
    "rotations, then signs": ansatz.qunetqfl(4, 2),
    "ring by gather": ansatz.chen_yoo(4, 2),
    "three blocks": make_circuit(
        4,
        [
            *[("H", 0), ("RX", 1), ("CNOT", 0, 1), ("SWAP", 1, 2), ("CZ", 3, 2), ("Rot", 2)],
            *[("RY", 2), ("CNOT", 2, 3), ("RZ", 0), ("RY", 3)],
        ],
        2,
    ),
    "controlled rotations": ansatz.quantum_train(4, 1),
}
MODEL = (
    noise.depolarising(0.03, 0.06)
    + noise.after(channels.pauli({"XZ": 0.04, "IY": 0.02}), "CNOT", "CZ")
    + noise.readout_error(0.02, 0.05)
)
BAD_READOUT = noise.NoiseModel(readout=((0.1, 0.1), (0.2, 0.2)))
SUBSETS = ((0,), (1,), (3,), (0, 1), (2, 3))
TRAJECTORIES = 4000


def inputs_of(circuit, batch=2):
    angles, psi = random_inputs(circuit, 3, batch)
    return jnp.asarray(angles), jnp.asarray(psi)


def with_gradient(values, mix):
    """Values, and the gradient of a mix of them in angles and states."""

    def loss(params, psi):
        found = values(params, psi)
        return jnp.sum(found * mix), found

    return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))


@pytest.mark.parametrize(
    "name",
    [
        "controlled rotations",
        "three blocks",
        *(pytest.param(name, marks=pytest.mark.long) for name in [*CIRCUITS][:3]),
    ],
)
def test_their_average_is_the_exact_noise(name):
    circuit = CIRCUITS[name]
    mix = np.random.default_rng(0).normal(size=(2, len(SUBSETS)))
    with jax.enable_x64(True):
        angles, psi = inputs_of(circuit)

        def estimate(params, psi):
            rng = jax.random.key(1)
            return trajectory_parity(circuit, MODEL, params, psi, SUBSETS, rng, TRAJECTORIES)

        def exact(params, psi):
            return noise.expval_parity(circuit, MODEL, params, psi, SUBSETS)

        (_, found), gradient = with_gradient(estimate, mix)(angles, psi)
        (_, expected), expected_gradient = with_gradient(exact, mix)(angles, psi)
        noiseless = expval_parity(run_circuit(circuit, angles, psi), SUBSETS)
    allowed = 4 / TRAJECTORIES**0.5
    np.testing.assert_allclose(found, expected, atol=allowed)
    size = np.abs(mix).sum()
    np.testing.assert_allclose(gradient[0], expected_gradient[0], atol=allowed * size / 2)
    assert np.abs(noiseless - expected).max() > 2 * allowed


@pytest.mark.parametrize("name", CIRCUITS)
def test_without_noise_they_are_the_plain_engine(name):
    circuit, mix = CIRCUITS[name], np.random.default_rng(0).normal(size=(2, len(SUBSETS)))
    with jax.enable_x64(True):
        angles, psi = inputs_of(circuit)

        def estimate(params, psi):
            rng = jax.random.key(1)
            return trajectory_parity(circuit, noise.NoiseModel(), params, psi, SUBSETS, rng, 3)

        def plain(params, psi):
            return expval_parity(run_circuit(circuit, params, psi), SUBSETS)

        found = with_gradient(estimate, mix)(angles, psi)
        expected = with_gradient(plain, mix)(angles, psi)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-12), found, expected)


def test_the_gradient_is_that_of_the_drawn_errors():
    """Central differences at one key, along a random direction."""
    circuit = CIRCUITS["three blocks"]
    with jax.enable_x64(True):
        angles, psi = inputs_of(circuit)
        direction = jnp.asarray(np.random.default_rng(2).normal(size=angles.shape))

        @jax.jit
        def value(params):
            rng = jax.random.key(1)
            return trajectory_parity(circuit, MODEL, params, psi, SUBSETS, rng, 5).sum()

        slope = jnp.sum(jax.jit(jax.grad(value))(angles) * direction)
        step = 1e-5
        ahead, behind = (float(value(angles + sign * step * direction)) for sign in (1, -1))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), atol=1e-8)


@pytest.mark.skipif(
    not native.has("fedket_trajectories"), reason="fedket-native is not installed, or an older one"
)
@pytest.mark.parametrize(
    ("name", "precision", "columns", "close"),
    [("three blocks", np.float64, 19, 1e-12), ("ring by gather", np.float32, 3, 2e-6)],
)
def test_kernels_agree_with_the_scans(name, precision, columns, close):
    """For clients with angles, states and errors of their own; states agree up to a phase."""
    circuit, clients = CIRCUITS[name], 2
    num_blocks = len(frame_run._blocks(circuit))
    with jax.enable_x64(True):
        inputs = [random_inputs(circuit, seed, columns) for seed in range(clients)]
        params = jnp.asarray([angles for angles, _ in inputs], precision)
        psi = jnp.asarray([psi for _, psi in inputs]).astype(jnp.result_type(precision, 1j))
        draw = partial(
            sample_frames, circuit=circuit, noise=MODEL, num_blocks=num_blocks, columns=columns
        )
        before = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(1), clients))[0]
        mix = jnp.asarray(np.random.default_rng(0).normal(size=(columns, len(SUBSETS))), precision)

        def passes(run, back):
            def one(params, psi, before):
                final = run(params, psi, before)
                values, pull_back = jax.vjp(lambda psi: expval_parity(psi, SUBSETS), final)
                return values, back(params, final, pull_back(mix)[0], before)

            return jax.jit(jax.vmap(one))(params, psi, before)

        def scan(params, psi, before):
            matrices = method.matrices(circuit, params, before)
            return method.scan(circuit, matrices, psi, before)

        method = frame_run.FRAMES
        found = passes(
            partial(run_drawn, method, circuit), partial(pull_back_drawn, method, circuit)
        )
        expected = passes(scan, partial(cotangents, method, method.scan_back, circuit))
    jax.tree.map(partial(np.testing.assert_allclose, atol=close * columns), found, expected)


def test_second_derivatives_are_those_of_the_first():
    """Central differences of the gradient at one key, along a random direction."""
    circuit = ansatz.qunetqfl(2, 1)
    with jax.enable_x64(True):
        angles, psi = inputs_of(circuit)
        direction = jnp.asarray(np.random.default_rng(2).normal(size=angles.shape))

        def value(params):
            rng = jax.random.key(1)
            return trajectory_parity(circuit, MODEL, params, psi, ((0, 1),), rng, 2).sum()

        slope = jax.jit(jax.grad(value))
        curved = jax.jit(jax.grad(lambda params: jnp.sum(jax.grad(value)(params) * direction)))
        step = 1e-5
        ahead, behind = (slope(angles + sign * step * direction) for sign in (1, -1))
        np.testing.assert_allclose(curved(angles), (ahead - behind) / (2 * step), atol=1e-7)


@pytest.mark.parametrize(
    ("circuit", "model", "said"),
    [
        (ansatz.chen_yoo(9, 1), noise.amplitude_damping(0.1), "not damping or relaxation"),
        (ansatz.chen_yoo(9, 1), noise.depolarising(0.1) + BAD_READOUT, "read-out errors of 2"),
    ],
)
def test_what_they_do_not_serve_is_one_line(circuit, model, said):
    with pytest.raises(CircuitError, match=said) as raised:
        check_trajectories(circuit, model)
    assert "\n" not in str(raised.value)


def test_pauli_noise_between_two_rotations_becomes_gates():
    """It does not commute with them, so it can neither wait nor be pushed forward."""
    circuit = make_circuit(2, [("RY", 0), ("RX", 0), ("CNOT", 0, 1)], 2)
    flips = noise.after(channels.pauli({"X": 0.1}), "RY")
    assert pushes_forward(circuit, noise.depolarising(0.1, 0.1))
    assert not pushes_forward(circuit, flips)
    angles, psi = random_inputs(circuit, 3, 1)
    given = jnp.asarray(angles, jnp.float32), jnp.asarray(psi, jnp.complex64)
    found = jax.jit(
        lambda *given: trajectory_parity(
            circuit, flips, *given, ((0,), (1,)), jax.random.key(0), 3000
        )
    )(*given)
    expected = noise.expval_parity(circuit, flips, *given, ((0,), (1,)))
    np.testing.assert_allclose(found, expected, atol=4 / 3000**0.5)
