"""Numbers at the edge of their precision, and batches of nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fedket as fk
from fedket.errors import CircuitError
from fedket.quantum.encoding import ENCODINGS

CIRCUIT = fk.ansatz.qfedfisher(2, 2)
ANGLES = jnp.linspace(0.1, 1.5, np.prod(CIRCUIT.params_shape)).reshape(CIRCUIT.params_shape)
LARGEST = float(jnp.finfo(jnp.float32).max)


@pytest.mark.parametrize("scale", [1e-37, 1e-20, 1.0, -1e19, LARGEST / 4])
def test_amplitudes_are_the_sample_over_its_norm_whatever_its_scale(scale):
    x = scale * jnp.array([[1.0, 2, 3, 4]])
    expected = np.sign(scale) * np.arange(1, 5) / np.sqrt(30)
    np.testing.assert_allclose(fk.amplitude_state(x, 2)[:, 0], expected, rtol=1e-6)


def test_scaling_changes_no_bit_of_ordinary_amplitudes():
    """Divided by their norm alone, as before samples were scaled."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(50, 8)), jnp.float32)
    x = x.at[0].set(0)
    norm = jnp.sqrt(jnp.sum(x.T**2, axis=0))
    expected = (x.T / jnp.where(norm == 0, 1, norm)).at[0, 0].set(1)
    np.testing.assert_array_equal(fk.amplitude_state(x, 3).real, expected)


def test_gradients_of_amplitudes_are_those_of_the_normalised_sample():
    def plain(x):
        return x / jnp.linalg.norm(x)

    x = jnp.array([0.3, -2.0, 5.0, 1.0])
    jacobian = jax.jacrev(lambda x: fk.amplitude_state(x[None], 2)[:, 0].real)(x)
    np.testing.assert_allclose(jacobian, jax.jacrev(plain)(x), atol=1e-6)


@pytest.mark.parametrize("encoding", ["amplitude", "angle", "arctan"])
def test_every_finite_sample_becomes_a_state_of_norm_1(encoding):
    x = jnp.array([[0.0, 0], [5e9, -5e9], [LARGEST, 1e-38], [-1e19, 1e-30], [1, 2]])
    psi = ENCODINGS[encoding](x, 1 if encoding == "amplitude" else 2)
    np.testing.assert_allclose(jnp.linalg.norm(psi, axis=0), 1, rtol=1e-5)
    ordinary = x[jnp.array([1, 4])]
    assert bool(
        jnp.isfinite(jax.grad(lambda x: ENCODINGS[encoding](x, 2).real.sum())(ordinary)).all()
    )


def test_arctan_of_a_huge_feature_is_a_right_angle():
    """RZ(π/2) RY(π/2)|0⟩ = (e^(−iπ/4), e^(iπ/4)) / √2."""
    psi = fk.arctan_state(jnp.array([[5e9], [LARGEST]]), 1)
    expected = np.exp([-1j * np.pi / 4, 1j * np.pi / 4]) / np.sqrt(2)
    np.testing.assert_allclose(psi, np.stack([expected, expected], axis=1), atol=1e-6)


EMPTY = fk.zero_state(2, 0)


@pytest.mark.parametrize(
    ("compute", "shape"),
    [
        (lambda: fk.run_circuit(CIRCUIT, ANGLES, EMPTY), (4, 0)),
        (lambda: fk.amplitude_state(jnp.zeros((0, 2, 2)), 2), (4, 0)),
        (lambda: fk.angle_state(jnp.zeros((0, 2)), 2), (4, 0)),
        (lambda: fk.arctan_state(jnp.zeros((0, 2)), 2), (4, 0)),
        (lambda: fk.expval(EMPTY, "Z0"), (0, 1)),
        (lambda: fk.probabilities(EMPTY), (4, 0)),
        (lambda: fk.quantum_fisher(CIRCUIT, ANGLES, EMPTY), (0, ANGLES.size, ANGLES.size)),
        (lambda: fk.concentratable_entanglement(EMPTY), (0,)),
        (lambda: fk.stabilizer_entropy(EMPTY), (0,)),
        (lambda: fk.vqc(CIRCUIT, 2).apply(ANGLES, jnp.zeros((0, 4))), (0, 2)),
        (
            lambda: fk.mlp(4, 2, (3,)).apply(
                fk.mlp(4, 2, (3,)).init(jax.random.key(0)), EMPTY.T.real
            ),
            (0, 2),
        ),
        (
            lambda: jax.grad(lambda w: fk.run_circuit(CIRCUIT, w, EMPTY).real.sum())(ANGLES),
            ANGLES.shape,
        ),
    ],
)
def test_a_batch_of_nothing_gives_nothing(compute, shape):
    result = compute()
    assert result.shape == shape
    assert not np.asarray(result).any()


def test_forward_and_reverse_mode_agree_and_the_default_says_which_it_has():
    def value(angles, forward_mode):
        psi = fk.run_circuit(CIRCUIT, angles, fk.zero_state(2), forward_mode=forward_mode)
        return fk.expval(psi, "Z0 Z1")[0, 0]

    hessian = jax.jit(jax.hessian(lambda w: value(w, True)))(ANGLES)
    twice = jax.jit(jax.jacrev(jax.grad(lambda w: value(w, False))))(ANGLES)
    np.testing.assert_allclose(hessian, twice, atol=1e-5)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda w: value(w, False), (ANGLES,), (ANGLES,))


def test_samples_that_do_not_fit_are_named():
    with pytest.raises(CircuitError, match="holds 4 features, got 5; use 3 qubits"):
        fk.amplitude_state(jnp.ones((1, 5)), 2)
