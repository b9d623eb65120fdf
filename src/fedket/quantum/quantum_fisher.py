"""Quantum Fisher information of a circuit's angles: how fast each of them moves the state."""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from fedket.quantum.circuit import Circuit
from fedket.quantum.engine import Angles, Batch, match_arguments
from fedket.quantum.per_sample import per_sample_vjp


def quantum_fisher(
    circuit: Circuit, params: Angles, psi: Batch
) -> Float[Array, "batch angles angles"]:
    """Quantum Fisher information matrix of every state of a batch.

    F = 4 Re(J†J − a†a) with the columns of J = ∂|ψ⟩/∂θ, |ψ⟩ the final state, and a = ⟨ψ|J
    (Meyer 2021, arXiv:2103.15191, eq. 11). F/4 is the Fubini–Study metric.

    Args:
        circuit: The circuit.
        params: Angles in radians, shape `circuit.params_shape`.
        psi: States of norm 1 that enter, as columns, shape (2**num_qubits, batch).

    Returns:
        Symmetric, positive semidefinite matrices; angles are in the order of `params.ravel()`.

    Raises:
        CircuitError: If the shapes do not fit the circuit.
    """
    params, psi = match_arguments(circuit, params, psi)
    final, jacobians = _jacobians(circuit, params, psi)
    gram = jnp.einsum("bki,bkj->bij", jacobians.conj(), jacobians)
    overlaps = jnp.einsum("kb,bki->bi", final.conj(), jacobians)
    fisher: Array = 4 * (gram - overlaps.conj()[:, :, None] * overlaps[:, None, :]).real
    return fisher


def _jacobians(
    circuit: Circuit, params: Angles, psi: Batch
) -> tuple[Batch, Complex[Array, "batch dim angles"]]:
    """Final states and their derivatives, from one pass over 2 · 2**n copies of each state.

    A real angle's gradient of cotangent c is Re Σ c_k ∂ψ_k, so that the unit vectors give the real
    parts of J's rows, and −i times them the imaginary parts.
    """
    dim, batch = psi.shape
    units = jnp.eye(dim, dtype=psi.dtype)
    cotangents = jnp.tile(jnp.concatenate([units, -1j * units], axis=1), (1, batch))
    finals, pull_back = per_sample_vjp(circuit, params, jnp.repeat(psi, 2 * dim, axis=1))
    rows = pull_back(cotangents).reshape(batch, 2, dim, params.size)
    return finals[:, :: 2 * dim], jnp.asarray(rows[:, 0] + 1j * rows[:, 1])
