"""Gradients of every sample of a batch by itself, from one adjoint pass.

The same backward pass as `engine`, but the reduced cross matrices of ψ and its cotangent keep the
batch axis: one batched GEMM per group of qubits where the sum over the batch needs a plain one.
The cotangents of the matrices are pulled back to the angles for all samples at once.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Complex, Float

from fedket.quantum.circuit import Circuit
from fedket.quantum.cross_matrices import qubit_groups, trace_map
from fedket.quantum.engine import (
    Angles,
    Batch,
    block_matrices,
    run_circuit,
    undo_block,
)
from fedket.quantum.kernels import States
from fedket.quantum.plan import NARROW_BATCH, Block, WindowBlock, plan_layer

PerSample = Float[Array, "batch layers slots"]


def per_sample_vjp(
    circuit: Circuit, params: Angles, psi: Batch
) -> tuple[Batch, Callable[[Batch], PerSample]]:
    """Run a circuit, and prepare the gradient of each sample with respect to the angles.

    Args:
        circuit: The circuit.
        params: Angles in radians, shape `circuit.params_shape`.
        psi: States as columns, shape (2**num_qubits, batch).

    Returns:
        The final states, same shape, and a function from their cotangent, as `jax.vjp` of
        `run_circuit` takes it, to the gradients, shape (batch, layers, slots). Their sum over the
        batch is that vjp's.

    Raises:
        CircuitError: If the shapes do not fit the circuit.
    """
    final = run_circuit(circuit, params, psi)

    def pull_back(cotangent: Batch) -> PerSample:
        return _gradients(circuit, params.astype(final.real.dtype), final, cotangent)

    return final, pull_back


def _gradients(circuit: Circuit, params: Angles, final: Batch, cotangent: Batch) -> PerSample:
    blocks = plan_layer(circuit, final.shape[1] < NARROW_BATCH)
    matrices, to_angles = jax.vjp(partial(block_matrices, blocks), params)

    def layer(states: States, matrices: list[Array]) -> tuple[States, list[Array]]:
        grads = []
        for block, matrix in zip(reversed(blocks), reversed(matrices), strict=True):
            before = undo_block(circuit, block, matrix, states)
            grads.append(_matrix_gradients(circuit, block, matrix, states, before))
            states = before
        return states, grads[::-1]

    states = jnp.stack([final, cotangent.conj()])
    _, grads = lax.scan(layer, states, matrices, reverse=True)
    # Leaves (layers, batch, ...): the scan put the layers first.
    gradients: Array = jax.vmap(lambda one: to_angles(one)[0], in_axes=1)(grads)
    return gradients


def _matrix_gradients(
    circuit: Circuit, block: Block, matrix: Array, after: States, before: States
) -> Complex[Array, "batch ..."]:
    """Cotangents of a block's matrices, from (ψ, conjugate cotangent) after and before it."""
    num_qubits, batch = circuit.num_qubits, after.shape[-1]
    left = after[1].conj()
    if isinstance(block, WindowBlock):
        return batch_cross_matrices(left, before[0], block.qubits, num_qubits)
    if not block.trainable:
        return jnp.zeros((batch, *matrix.shape), matrix.dtype)
    parts = []
    for group in qubit_groups(num_qubits):
        total = batch_cross_matrices(left, after[0], group, num_qubits)
        total = total.reshape(batch, 4 ** len(group))
        traced = jnp.einsum("tk,bk->bt", trace_map(len(group), total.dtype), total)
        parts.append(traced.reshape(batch, len(group), 2, 2))
    cross = jnp.concatenate(parts, axis=1)
    grads: Array = jnp.einsum("bnik,nkj->bnij", cross, matrix.conj())
    return grads


def batch_cross_matrices(
    left: Batch, right: Batch, qubits: tuple[int, ...], num_qubits: int
) -> Complex[Array, "batch m m"]:
    """M[b, i, j] = Σ left[i, rest, b] · right[j, rest, b], over all qubits but `qubits`.

    Args:
        left: Amplitudes, shape (2**num_qubits, batch).
        right: Amplitudes of the same shape.
        qubits: Distinct qubits that i and j run over, the first most significant.
        num_qubits: Size of the register.
    """
    size = 2 ** len(qubits)
    x, y = (_planes(states, qubits, num_qubits) for states in (left, right))
    total = jnp.einsum("bik,bjk->bij", x, y)
    real = total[:, :size, :size] - total[:, size:, size:]
    return lax.complex(real, total[:, :size, size:] + total[:, size:, :size])


def _planes(
    states: Batch, qubits: tuple[int, ...], num_qubits: int
) -> Float[Array, "batch two_m rest"]:
    """The chosen qubits as rows, real parts over imaginary parts, batch first."""
    batch = states.shape[1]
    tensor = states.T.reshape(batch, *(2,) * num_qubits)
    tensor = jnp.moveaxis(tensor, [1 + q for q in qubits], range(1, 1 + len(qubits)))
    rows = tensor.reshape(batch, 2 ** len(qubits), 2 ** (num_qubits - len(qubits)))
    return jnp.concatenate([rows.real, rows.imag], axis=1)
