"""Quantum data sets: inputs, generators, and what is measured on them."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.data.quantum_states.generators import from_weights, generate, hardware_efficient
from fedket.data.quantum_states.inputs import INPUTS
from fedket.data.quantum_states.make import NtangledConfig, make_states
from fedket.data.quantum_states.public import public_generator
from fedket.errors import CircuitError, DataError
from fedket.quantum.encoding import given_state, product_state
from fedket.quantum.resources import concentratable_entanglement, stabilizer_entropy

SEEDS = st.integers(0, 2**31 - 1)
SMALL = NtangledConfig(
    num_qubits=3, targets=(0.05, 0.3), generator_layers=2, train_samples=8, test_samples=12
)


def draw(kind, seed, count, num_qubits):
    return INPUTS[kind](np.random.default_rng(seed), count, num_qubits)


@pytest.mark.parametrize("kind", INPUTS)
@given(seed=SEEDS)
def test_inputs_are_states_and_the_first_ones_do_not_depend_on_how_many(kind, seed):
    inputs = draw(kind, seed, 8, 4)
    np.testing.assert_allclose(np.linalg.norm(inputs, axis=-1), 1, atol=1e-6)
    np.testing.assert_array_equal(draw(kind, seed, 3, 4), inputs[:3])


@pytest.mark.parametrize(("kind", "count"), [("stabilizer", 27), ("basis", 8)])
def test_finite_inputs_are_all_different_until_they_run_out(kind, count):
    states = np.asarray(product_state(jnp.asarray(draw(kind, 0, count, 3)))).T
    assert len(np.unique(states.round(3), axis=0)) == count
    np.testing.assert_allclose(stabilizer_entropy(jnp.asarray(states.T)), 0, atol=1e-5)
    with pytest.raises(DataError, match=f"are {count} states, {count + 1} per class"):
        draw(kind, 0, count + 1, 3)


@pytest.mark.parametrize(("kind", "height"), [("haar", 0.0), ("hemisphere", 0.5)])
def test_the_mean_state_of_haar_inputs_tells_nothing(kind, height):
    """Mean Bloch vector (0, 0, height): at 0 a unitary leaves the mean maximally mixed."""
    qubits = draw(kind, 1, 40_000, 1)[:, 0]
    rho = np.einsum("bi,bj->ij", qubits, qubits.conj()) / len(qubits)
    np.testing.assert_allclose(rho, np.diag([1 + height, 1 - height]) / 2, atol=0.01)


def test_a_generator_is_ntangleds_layer():
    """U3 = RZ(φ) RX(−π/2) RZ(θ) RX(π/2) RZ(λ), CZ (0,1), the same U3 again, CZ (1,2)."""
    weights = np.random.default_rng(0).uniform(-3, 3, (2, 3, 3))

    def rz(a):
        return np.diag(np.exp([-0.5j * a, 0.5j * a]))

    def rx(a):
        return np.array(
            [[np.cos(a / 2), -1j * np.sin(a / 2)], [-1j * np.sin(a / 2), np.cos(a / 2)]]
        )

    index = np.arange(8)
    bits = [(index >> 2 - q) & 1 for q in range(3)]
    psi = np.eye(8)
    for layer in weights:
        turn = np.eye(1)
        for theta, phi, lam in layer:
            u3 = rz(phi) @ rx(-np.pi / 2) @ rz(theta) @ rx(np.pi / 2) @ rz(lam)
            turn = np.kron(turn, u3)
        psi = np.diag((-1.0) ** (bits[0] * bits[1])) @ turn @ psi
        psi = np.diag((-1.0) ** (bits[1] * bits[2])) @ turn @ psi
    basis = np.eye(2)[np.stack(bits, axis=1)].astype(np.complex64)
    np.testing.assert_allclose(generate(from_weights(weights), basis), psi, atol=1e-5)
    assert hardware_efficient(3, 2).params_shape == (2, 9)


@pytest.fixture(scope="module")
def entangled():
    return make_states(SMALL, 0, Path("nowhere"))


def test_classes_have_about_the_entanglement_they_were_trained_to(entangled):
    for label, target in enumerate(SMALL.targets):
        psi = given_state(jnp.asarray(entangled.x_test[entangled.y_test == label]), 3)
        mean = float(concentratable_entanglement(psi).mean())
        assert abs(mean - target) < 0.1
        stated = entangled.measured[f"concentratable entanglement, class {label}, mean"]
        assert abs(stated - mean) < 0.05


def test_states_are_samples_of_norm_one_and_the_request_fixes_them(entangled):
    assert entangled.x_train.shape == (8, 8, 2)
    assert entangled.y_train.tolist() == [0, 1] * 4
    np.testing.assert_allclose((entangled.x_train**2).sum(axis=(1, 2)), 1, atol=1e-5)
    more = make_states(SMALL.model_copy(update={"train_samples": 10}), 0, Path("nowhere"))
    np.testing.assert_allclose(more.x_test, entangled.x_test, atol=1e-6)
    other = make_states(SMALL, 1, Path("nowhere"))
    assert np.abs(other.x_test - entangled.x_test).max() > 0.1


def test_an_unreachable_target_is_refused():
    with pytest.raises(DataError, match=r"reached 0\.\d+ instead of the target 0.9; use another"):
        make_states(SMALL.model_copy(update={"targets": (0.9, 0.1)}), 0, Path("nowhere"))


@pytest.mark.parametrize(
    ("num_qubits", "goal", "layers", "inputs", "measured", "tolerance"),
    [  # mean entanglement of the public sets, from the description of the file
        (4, 0.05, 4, "haar", 0.05, 0.02),
        (4, 0.35, 4, "haar", 0.38, 0.02),
        (8, 0.15, 5, "basis", 0.148, 0.01),
        (8, 0.40, 5, "basis", 0.399, 0.01),
    ],
)
def test_public_weights_give_the_measured_entanglement(
    shared_data, num_qubits, goal, layers, inputs, measured, tolerance
):
    if not (shared_data / "ntangled_weights.npz").is_file():
        pytest.skip("no NTangled weights")
    generator = public_generator(shared_data, num_qubits, goal, layers)
    count = 150 if num_qubits == 4 else 12
    psi = generate(generator, draw(inputs, 0, count, num_qubits))
    assert abs(float(concentratable_entanglement(psi).mean()) - measured) < tolerance


def test_what_does_not_exist_is_refused(tmp_path):
    with pytest.raises(DataError, match="no public generator of 6 qubits"):
        public_generator(tmp_path, 6, 0.15, 4)
    with pytest.raises(DataError, match=r"no file at .* set FEDKET_DATA"):
        public_generator(tmp_path, 4, 0.15, 4)
    np.savez(tmp_path / "ntangled_weights.npz", hwe_4q_ps_15_2=np.zeros((2, 4, 3)))
    with pytest.raises(DataError, match="`hwe_4q_ps_15` with 2 layers, not 4"):
        public_generator(tmp_path, 4, 0.15, 4)
    (tmp_path / "ntangled_weights.npz").write_bytes(b"PK\x03\x04 damaged")
    with pytest.raises(DataError, match="no readable"):
        public_generator(tmp_path, 4, 0.15, 4)
    with pytest.raises(CircuitError, match=r"samples of shape \(8, 2\), got \(4, 2\)"):
        given_state(jnp.ones((1, 4, 2)), 3)
