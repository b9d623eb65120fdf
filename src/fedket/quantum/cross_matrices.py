"""Reduced cross matrices of two states: what gradients of one-qubit gates are made of, by GEMMs."""

from functools import lru_cache
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex

from fedket.quantum.kernels import cross_matrix

GROUP = 4
"""Neighbouring qubits whose reduced cross matrices come from one GEMM: of 2 to 5 the fastest."""

Batch = Complex[Array, "dim batch"]


def qubit_cross_matrices(left: Batch, right: Batch, num_qubits: int) -> Complex[Array, "n 2 2"]:
    """Reduced cross matrix of every qubit, from one GEMM per group of neighbouring qubits."""
    parts = []
    for group in qubit_groups(num_qubits):
        size = len(group)
        total = cross_matrix(left, right, group, num_qubits)
        parts.append(total.reshape(-1)[traced_places(size)].sum(axis=-1))
    return jnp.concatenate(parts)


def qubit_groups(num_qubits: int) -> list[tuple[int, ...]]:
    """Split the register into runs of nearly equal length, at most `GROUP`.

    A group of g qubits costs 2**g multiplications per amplitude but reads the states once: small
    groups save arithmetic, large ones traffic.
    """
    count = -(-num_qubits // GROUP)
    bounds = [num_qubits * part // count for part in range(count + 1)]
    return [tuple(range(*bound)) for bound in pairwise(bounds)]


@lru_cache(maxsize=32)
def traced_places(num_qubits: int) -> np.ndarray:
    """Which entries of a flattened cross matrix add up to the 2×2 partial traces of every qubit.

    Shape (qubits, 2, 2, 2**(qubits − 1)). `trace_map` as a list: of its matrix nearly all is zero.
    """
    index = np.arange(2**num_qubits)
    places = np.zeros((num_qubits, 2, 2, len(index) // 2), np.int32)
    for qubit in range(num_qubits):
        bit = num_qubits - 1 - qubit
        for i in range(2):
            for j in range(2):
                rows = index[(index >> bit) & 1 == i]
                places[qubit, i, j] = rows * len(index) + (rows ^ ((i ^ j) << bit))
    return places


@lru_cache(maxsize=32)
def trace_map(num_qubits: int, dtype: np.dtype) -> np.ndarray:
    """Matrix taking a flattened cross matrix to the 2×2 partial traces of every qubit."""
    dim = 2**num_qubits
    result = np.zeros((num_qubits * 4, dim * dim), dtype)
    np.put_along_axis(result, traced_places(num_qubits).reshape(num_qubits * 4, -1), 1, axis=1)
    return result
