"""Per-sample gradients: their sum is the engine's, each is that of its sample alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.quantum.engine import run_circuit
from fedket.quantum.per_sample import batch_cross_matrices, per_sample_vjp
from tests.quantum.circuits import CIRCUITS, random_inputs


@pytest.mark.parametrize(
    ("name", "batch"), [*((name, 5) for name in CIRCUITS), ("qfedfisher, two groups", 2)]
)
def test_each_gradient_is_that_of_its_sample_alone(name, batch):
    circuit = CIRCUITS[name]
    with jax.enable_x64(True):
        angles, psi = map(jnp.asarray, random_inputs(circuit, 1, batch))
        cotangent = jnp.asarray(random_inputs(circuit, 2, batch)[1])

        def fast(angles, psi, cotangent):
            final, pull_back = per_sample_vjp(circuit, angles, psi)
            return final, pull_back(cotangent)

        def one(angles, psi, cotangent):
            final, pull_back = jax.vjp(lambda a: run_circuit(circuit, a, psi[:, None]), angles)
            return final[:, 0], pull_back(cotangent[:, None])[0]

        final, found = jax.jit(fast)(angles, psi, cotangent)
        slow = jax.jit(jax.vmap(one, in_axes=(None, 1, 1), out_axes=(1, 0)))
        expected_final, expected = slow(angles, psi, cotangent)
        np.testing.assert_allclose(final, expected_final, atol=1e-12)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("qubits", [(0,), (1, 2), (3, 0)])
def test_cross_matrices_sum_over_all_other_qubits(qubits):
    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=(2, 16, 3)) for _ in range(2))
    left, right = left[0] + 1j * left[1], right[0] + 1j * right[1]
    with jax.enable_x64(True):
        cross = jax.jit(partial(batch_cross_matrices, qubits=qubits, num_qubits=4))
        found = cross(jnp.asarray(left), jnp.asarray(right))
    letters = "abcd"
    kept = "".join(letters[q] for q in qubits)
    moved = "".join(c.upper() if c in kept else c for c in letters)
    shape = (2, 2, 2, 2, 3)
    rule = f"{letters}n,{moved}n->n{kept}{kept.upper()}"
    expected = np.einsum(rule, left.reshape(shape), right.reshape(shape))
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-12)
