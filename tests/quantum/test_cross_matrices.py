"""Reduced cross matrices of every qubit are partial traces of |right⟩⟨left*|."""

from functools import partial

import jax
import numpy as np
import pytest

from fedket.quantum import cross_matrices

SIZES = [*range(1, 10), 12]
"""From registers of which all qubits are the last ones to sums that take several passes."""


@pytest.mark.parametrize("compiled", [None, "kernels"])
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("num_qubits", SIZES)
def test_they_are_partial_traces(num_qubits, batch, compiled, monkeypatch):
    monkeypatch.setattr(cross_matrices, "kernels", lambda: compiled)
    rng = np.random.default_rng(num_qubits)
    shape = (2, 2, 2**num_qubits, batch)
    real, imag = rng.normal(size=shape).astype(np.float32)
    left, right = real + 1j * imag
    run = partial(cross_matrices.qubit_cross_matrices, num_qubits=num_qubits)
    found = jax.jit(run)(left, right)
    for qubit in range(num_qubits):
        mine, other = (
            state.astype(complex).reshape(2**qubit, 2, -1).swapaxes(0, 1).reshape(2, -1)
            for state in (left, right)
        )
        np.testing.assert_allclose(found[qubit], mine @ other.T, atol=2e-5 * shape[2] * batch)
