"""Reduced cross matrices of every qubit are partial traces of |right⟩⟨left*|."""

import jax
import numpy as np
import pytest

from fedket.quantum.cross_matrices import qubit_cross_matrices

SIZES = [*range(1, 10), 12]
"""From registers of which all qubits are the last ones to sums that take several passes."""


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("num_qubits", SIZES)
def test_they_are_partial_traces(num_qubits, batch):
    rng = np.random.default_rng(num_qubits)
    shape = (2, 2, 2**num_qubits, batch)
    real, imag = rng.normal(size=shape).astype(np.float32)
    left, right = real + 1j * imag
    found = jax.jit(qubit_cross_matrices, static_argnums=2)(left, right, num_qubits)
    for qubit in range(num_qubits):
        mine, other = (
            state.astype(complex).reshape(2**qubit, 2, -1).swapaxes(0, 1).reshape(2, -1)
            for state in (left, right)
        )
        np.testing.assert_allclose(found[qubit], mine @ other.T, atol=2e-5 * shape[2] * batch)
