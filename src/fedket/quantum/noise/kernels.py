"""The few operations on observables that exact noise is made of.

Observables are real arrays (K, 4**n) of Pauli coefficients, qubit 0 most significant. K stands
first: a matrix on an early qubit is then a vertical operation, and one on the last qubits a GEMM.
"""

from collections.abc import Iterable
from functools import reduce

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float, Shaped

from fedket.quantum.noise.plan import Block, Move

Observables = Float[Array, "observables strings"]

TAIL = 2
"""Last qubits whose matrices are one GEMM."""


def num_qubits_of(v: Shaped[Array, "observables strings"]) -> int:
    """The n of 4**n."""
    return (v.shape[1].bit_length() - 1) // 2


def permute(v: Observables, move: Move) -> Observables:
    """Apply a weighted permutation."""
    if move.moves:
        v = v[:, move.source]
    # Without the barrier XLA repeats the gather inside the operations that follow.
    kept: Array = lax.optimization_barrier(v * jnp.asarray(move.weight, v.dtype))
    return kept


def apply_factors(
    block: Block,
    singles: Float[Array, "n 4 4"],
    pairs: Float[Array, "m 16 16"],
    v: Observables,
) -> Observables:
    """Apply a block's matrices, in its order, to the qubits that they are for."""
    matrices = {f.qubits[0]: singles[i] for i, f in enumerate(block.singles)}
    unital = {f.qubits[0] for f in block.singles if not f.noise[1:, 0].any()}
    head = max(0, num_qubits_of(v) - TAIL)
    for qubit, matrix in matrices.items():
        if qubit < head:
            v = _apply_one(matrix, v, qubit, qubit in unital)
    if any(qubit >= head for qubit in matrices):
        one = jnp.eye(4, dtype=v.dtype)
        tail = [matrices.get(qubit, one) for qubit in range(head, num_qubits_of(v))]
        matrix = reduce(jnp.kron, tail)
        v = (v.reshape(-1, len(matrix)) @ matrix.T).reshape(v.shape)
    for i, factor in enumerate(block.pairs):
        v = _apply_pair(pairs[i], v, factor.qubits)
    return v


def _apply_one(
    matrix: Float[Array, "4 4"], v: Observables, qubit: int, unital: bool
) -> Observables:
    """Apply a matrix to one qubit; a unital one leaves I alone, and mixes X, Y and Z only."""
    view = v.reshape(v.shape[0] * 4**qubit, 4, -1)
    slices = [view[:, j] for j in range(4)]
    first = 1 if unital else 0
    rows = [
        sum(
            (matrix[i, j] * slices[j] for j in range(first + 1, 4)),
            start=matrix[i, first] * slices[first],
        )
        for i in range(first, 4)
    ]
    rows = [*slices[:first], *rows]
    return jnp.stack(rows, axis=1).reshape(v.shape)


def _apply_pair(
    matrix: Float[Array, "16 16"], v: Observables, qubits: tuple[int, ...]
) -> Observables:
    tensor = v.reshape(v.shape[0], *(4,) * num_qubits_of(v))
    axes = [1 + qubit for qubit in qubits]
    product = jnp.tensordot(matrix.reshape(4, 4, 4, 4), tensor, axes=((2, 3), axes))
    return jnp.moveaxis(product, (0, 1), axes).reshape(v.shape)


def cross_matrices(
    left: Observables, right: Observables, qubits: Iterable[int]
) -> Float[Array, "n 4 4"]:
    """C_ij = Σ left[i, rest] · right[j, rest] of single qubits, two neighbours from one GEMM."""
    found = {}
    wanted = set(qubits)
    for first in range(0, num_qubits_of(left), 2):
        group = range(first, min(first + 2, num_qubits_of(left)))
        if wanted & set(group):
            size = 4 ** len(group)
            a, b = (x.reshape(x.shape[0] * 4**first, size, -1) for x in (left, right))
            # Summed afterwards: one contraction over both axes would transpose first.
            total = a[:, :, 0].T @ b[:, :, 0] if a.shape[2] == 1 else _batched_products(a, b)
            if len(group) == 1:
                found[first] = total
                continue
            tensor = total.reshape(4, 4, 4, 4)
            found[first] = jnp.trace(tensor, axis1=1, axis2=3)
            found[first + 1] = jnp.trace(tensor, axis1=0, axis2=2)
    return jnp.stack([found[qubit] for qubit in sorted(wanted)])


def _batched_products(a: Float[Array, "k m rest"], b: Float[Array, "k m rest"]) -> Array:
    return jnp.einsum("kir,kjr->kij", a, b).sum(0)


def pair_cross_matrix(
    left: Observables, right: Observables, qubits: tuple[int, ...]
) -> Float[Array, "16 16"]:
    """The same of a pair of qubits, the first most significant."""
    n = num_qubits_of(left)
    others = [0, *(1 + q for q in range(n) if q not in qubits)]
    a, b = (x.reshape(x.shape[0], *(4,) * n) for x in (left, right))
    return jnp.tensordot(a, b, axes=(others, others)).transpose(_pair_axes(qubits)).reshape(16, 16)


def _pair_axes(qubits: tuple[int, ...]) -> tuple[int, ...]:
    return (0, 1, 2, 3) if qubits[0] < qubits[1] else (1, 0, 3, 2)


def butterflies(
    h: Complex[Array, "observables strings"], matrix: np.ndarray
) -> Complex[Array, "observables strings"]:
    """Apply a constant complex 4×4 matrix to every base-4 digit of (K, 4**n)."""
    n = num_qubits_of(h)
    head = max(0, n - TAIL)
    for qubit in range(head):
        view = h.reshape(h.shape[0] * 4**qubit, 4, -1)
        slices = [view[:, j] for j in range(4)]
        rows = [
            sum(
                (complex(row[j]) * slices[j] for j in np.flatnonzero(row)),
                start=jnp.zeros((), h.dtype),
            )
            for row in matrix
        ]
        h = jnp.stack(rows, axis=1).reshape(h.shape)
    tail = jnp.asarray(reduce(np.kron, [matrix] * (n - head)), h.dtype)
    return (h.reshape(-1, len(tail)) @ tail.T).reshape(h.shape)
