"""Concentratable entanglement and stabilizer entropy against definitions and known states."""

from functools import reduce
from itertools import chain, combinations, product

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.quantum.resources import concentratable_entanglement, pauli_averages, stabilizer_entropy

SEEDS = st.integers(0, 2**31 - 1)
PAULIS = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]
T_STATE = np.array([1, np.exp(0.25j * np.pi)]) / np.sqrt(2)
PLUS = np.ones(2) / np.sqrt(2)


def random_states(seed, num_qubits, batch=3):
    rng = np.random.default_rng(seed)
    psi = rng.normal(size=(2, 2**num_qubits, batch))
    psi = psi[0] + 1j * psi[1]
    return psi / np.linalg.norm(psi, axis=0)


def column(*factors):
    return jnp.asarray(reduce(np.kron, factors).reshape(-1, 1), jnp.complex64)


def ghz(num_qubits):
    psi = np.zeros((2**num_qubits, 1), np.complex64)
    psi[[0, -1]] = 0.5**0.5
    return jnp.asarray(psi)


def purity(psi, kept, num_qubits):
    rest = [q for q in range(num_qubits) if q not in kept]
    matrix = psi.reshape((2,) * num_qubits).transpose(*kept, *rest).reshape(2 ** len(kept), -1)
    rho = matrix @ matrix.conj().T
    return np.trace(rho @ rho).real


@pytest.mark.parametrize("num_qubits", [1, 2, 3])
@given(seed=SEEDS)
def test_pauli_averages_are_traces_with_pauli_strings(seed, num_qubits):
    psi = random_states(seed, num_qubits)
    expected = [
        np.einsum("ib,ij,jb->b", psi.conj(), reduce(np.kron, string), psi).real
        for string in product(PAULIS, repeat=num_qubits)
    ]
    found = pauli_averages(jnp.asarray(psi, jnp.complex64))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("num_qubits", [2, 3, 4])
@given(seed=SEEDS)
def test_concentratable_entanglement_is_the_mean_purity_deficit(seed, num_qubits):
    psi = random_states(seed, num_qubits, batch=1)
    subsets = chain.from_iterable(combinations(range(num_qubits), k) for k in range(num_qubits + 1))
    expected = 1 - sum(purity(psi, s, num_qubits) for s in subsets) / 2**num_qubits
    found = concentratable_entanglement(jnp.asarray(psi, jnp.complex64))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("num_qubits", [2, 4, 6])
def test_ghz_states_have_their_known_entanglement_and_no_magic(num_qubits):
    """arXiv:2104.06923: CE of a GHZ state is 1/2 − 1/2ⁿ; GHZ states are stabilizer states."""
    np.testing.assert_allclose(
        concentratable_entanglement(ghz(num_qubits)), 0.5 - 0.5**num_qubits, atol=1e-5
    )
    np.testing.assert_allclose(stabilizer_entropy(ghz(num_qubits)), 0, atol=1e-5)


@pytest.mark.parametrize("num_magic", [0, 1, 3])
def test_magic_of_t_states_adds_up_and_product_states_are_not_entangled(num_magic):
    """arXiv:2106.12587: M₂(|T⟩) = log₂(4/3), and M₂ is additive."""
    psi = column(*[T_STATE] * num_magic, *[PLUS] * (4 - num_magic))
    np.testing.assert_allclose(stabilizer_entropy(psi), num_magic * np.log2(4 / 3), atol=1e-5)
    np.testing.assert_allclose(concentratable_entanglement(psi), 0, atol=1e-5)


@given(seed=SEEDS)
def test_rotating_single_qubits_keeps_the_entanglement(seed):
    rng = np.random.default_rng(seed)
    gates = [np.linalg.qr(rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2)))[0] for _ in "abc"]
    psi = random_states(seed, 3)
    turned = reduce(np.kron, gates) @ psi
    before, after = (
        concentratable_entanglement(jnp.asarray(s, jnp.complex64)) for s in (psi, turned)
    )
    np.testing.assert_allclose(before, after, atol=1e-5)
