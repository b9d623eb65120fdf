"""Gates, encodings, read-outs, drawings and limits."""

from functools import reduce
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import CircuitError
from fedket.quantum import ansatz, native
from fedket.quantum.circuit import make_circuit
from fedket.quantum.draw import draw_circuit
from fedket.quantum.encoding import amplitude_state, angle_state, arctan_state, zero_state
from fedket.quantum.engine import run_circuit
from fedket.quantum.gates import GATES
from fedket.quantum.memory import check_memory, gradient_bytes
from fedket.quantum.readout import expval, expval_parity, probabilities

SEEDS = st.integers(0, 2**31 - 1)


@pytest.mark.parametrize("name", GATES)
@given(seed=SEEDS)
def test_gates_are_unitary(name, seed):
    kind = GATES[name]
    angles = np.random.default_rng(seed).uniform(-7, 7, kind.num_angles)
    matrix = kind.matrix(*(jnp.asarray(a) for a in angles))
    assert matrix.shape == (2**kind.num_qubits,) * 2
    np.testing.assert_allclose(matrix @ matrix.conj().T, np.eye(len(matrix)), atol=1e-6)


@given(seed=SEEDS, scale=st.floats(1e-3, 1e3))
def test_amplitude_encoding_is_normalised_and_ignores_scale(seed, scale):
    x = np.random.default_rng(seed).uniform(0.1, 1, (3, 2, 3)).astype(np.float32)
    psi = amplitude_state(jnp.asarray(x), 3)
    np.testing.assert_allclose(np.linalg.norm(psi, axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(
        amplitude_state(jnp.asarray(x * np.float32(scale)), 3), psi, atol=1e-5
    )
    np.testing.assert_array_equal(psi[6:], 0)


def test_a_blank_image_becomes_the_zero_state():
    psi = amplitude_state(jnp.zeros((2, 4)), 2)
    np.testing.assert_array_equal(psi, np.eye(4)[:, [0, 0]])


@given(seed=SEEDS)
def test_angle_encodings_have_the_expectations_of_their_rotations(seed):
    """⟨Z⟩ after RY(a) is cos a; an RZ does not change it."""
    x = np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32)
    found = expval(angle_state(jnp.asarray(x), 3), "Z0", "Z1", "Z2")
    np.testing.assert_allclose(found, np.cos(x), atol=1e-5)
    found = expval(arctan_state(jnp.asarray(x), 3), "Z0", "Z1", "Z2")
    np.testing.assert_allclose(found, np.cos(np.arctan(x)), atol=1e-5)


@pytest.mark.parametrize("num_qubits", [3, 11])
@given(seed=SEEDS)
def test_parities_equal_the_sum_over_basis_states(num_qubits, seed):
    rng = np.random.default_rng(seed)
    psi = rng.normal(size=(2, 2**num_qubits, 2)).astype(np.float32)
    psi = jnp.asarray((psi[0] + 1j * psi[1]) / np.linalg.norm(psi[0] + 1j * psi[1], axis=0))
    bits = (np.arange(2**num_qubits)[:, None] >> np.arange(num_qubits)[::-1]) & 1
    signs = 1 - 2 * bits
    subset = (0, num_qubits - 1)
    expected = np.stack([signs[:, 1], signs[:, 0] * signs[:, -1]]) @ np.asarray(probabilities(psi))
    np.testing.assert_allclose(expval_parity(psi, ((1,), subset)).T, expected, atol=1e-5)
    found = expval(psi, f"Z0 Z{num_qubits - 1}")
    np.testing.assert_allclose(found[:, 0], expected[1], atol=1e-5)


PAULIS = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}


@pytest.mark.parametrize("num_qubits", [1, 2, 3])
@given(seed=SEEDS)
def test_expectation_values_are_those_of_the_strings_matrices(num_qubits, seed):
    """All 4ⁿ − 1 strings at once, in any order, against Kronecker products."""
    rng = np.random.default_rng(seed)
    strings = rng.permutation(list(product("IXYZ", repeat=num_qubits))[1:])
    texts = [" ".join(f"{p}{q}" for q, p in enumerate(s) if p != "I") for s in strings]
    psi = rng.normal(size=(2, 2**num_qubits, 3))
    psi = psi[0] + 1j * psi[1]
    psi /= np.linalg.norm(psi, axis=0)
    matrices = [reduce(np.kron, [PAULIS[p] for p in s]) for s in strings]
    expected = np.einsum("ib,kij,jb->bk", psi.conj(), np.array(matrices), psi).real
    found = expval(jnp.asarray(psi, jnp.complex64), *texts)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("gate", ["RX", "RY", "RZ"])
@given(angle=st.floats(-7, 7))
def test_a_rotation_turns_the_bloch_vector_about_its_axis(gate, angle):
    """From |0⟩ and then H or not, ⟨X⟩, ⟨Y⟩, ⟨Z⟩ are sines and cosines of the angle."""
    prepare = [("H", 0)] if gate == "RZ" else []
    circuit = make_circuit(1, [*prepare, (gate, 0)], 1)
    sin, cos = np.sin(angle), np.cos(angle)
    vector = {"RX": (0, -sin, cos), "RY": (sin, 0, cos), "RZ": (cos, sin, 0)}[gate]
    psi = run_circuit(circuit, jnp.full((1, 1), angle), zero_state(1))
    np.testing.assert_allclose(expval(psi, "X0", "Y0", "Z0")[0], vector, atol=1e-5)


@pytest.mark.parametrize("text", ["", "Z", "A0", "Z0 Z0", "z0", "Z-1", "Z0+Z1", "ZZ"])
def test_what_is_no_pauli_string_is_refused(text):
    with pytest.raises(CircuitError, match="is not a Pauli string"):
        expval(zero_state(2), text)


def test_observables_must_be_there():
    with pytest.raises(CircuitError, match="qubits go from 0 to 1"):
        expval(zero_state(2), "Z0 X2")
    with pytest.raises(CircuitError, match="name an observable"):
        expval(zero_state(2))


@pytest.mark.parametrize(
    ("circuit", "count"),
    [
        (ansatz.qfedfisher(), 1200),  # papers: QFedFisher, 60 · 10 · 2
        (ansatz.chen_yoo(), 24),  # Chen and Yoo, 2 · 4 · 3
        (ansatz.qunetqfl(6, 4), 48),
        (ansatz.qunetqfl(4, 3), 24),
        (ansatz.quantum_train(), 1248),  # QFed, 16 · 13 · 6
    ],
)
def test_published_circuits_have_the_published_number_of_angles(circuit, count):
    assert circuit.num_params == count


def test_drawing_has_a_wire_per_qubit_and_every_gate():
    drawing = draw_circuit(ansatz.chen_yoo(4, 2)).splitlines()
    assert [line[:2] for line in drawing] == ["q0", "q1", "q2", "q3"]
    assert "".join(drawing).count("Rot") == 4
    assert "× 2" in "".join(drawing)


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        ([("RQ", 0)], "unknown gate `RQ`"),
        ([("CNOT", 1, 1)], "2 distinct qubits"),
        ([("RX", 2)], "qubits go from 0 to 1"),
        ([("CNOT", 0)], "2 distinct qubits"),
    ],
)
def test_malformed_gates_are_named(gates, message):
    with pytest.raises(CircuitError, match=message):
        make_circuit(2, gates, 1)


def test_too_many_features_are_refused_with_the_qubits_needed():
    with pytest.raises(CircuitError, match="use 7 qubits"):
        amplitude_state(jnp.ones((1, 65)), 6)


@pytest.mark.parametrize("circuit", [ansatz.qfedfisher(10, 2), ansatz.chen_yoo(13, 2)])
def test_the_memory_estimate_covers_what_xla_allocates(circuit, monkeypatch):
    """Of the engine in JAX; compiled kernels need less."""
    monkeypatch.setattr(native, "kernels", lambda: None)
    batch = 16

    def loss(params, psi):
        return jnp.sum(expval(run_circuit(circuit, params, psi), "Z0", "Z1") ** 2)

    params = jax.ShapeDtypeStruct(circuit.params_shape, jnp.float32)
    psi = jax.ShapeDtypeStruct((2**circuit.num_qubits, batch), jnp.complex64)
    analysis = jax.jit(jax.grad(loss)).lower(params, psi).compile().memory_analysis()
    measured = analysis.temp_size_in_bytes + analysis.argument_size_in_bytes
    assert measured <= gradient_bytes(circuit.num_qubits, batch) <= 3 * measured


def test_a_circuit_beyond_memory_is_refused_before_it_compiles():
    with pytest.raises(CircuitError, match=r"GiB are available"):
        check_memory(num_qubits=50, batch=32)
