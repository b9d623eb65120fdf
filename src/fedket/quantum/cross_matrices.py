"""Reduced cross matrices of two states: what gradients of one-qubit gates are made of."""

from functools import lru_cache
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex

from fedket.quantum.kernels import cross_matrix
from fedket.quantum.native import kernels

GROUP = 4
"""Neighbouring qubits whose reduced cross matrices come from one GEMM: of 2 to 5 the fastest."""

LAST_QUBITS = 4
"""Qubits at the end whose reduced cross matrices come from products, without compiled kernels."""

MAX_FUSED_PRODUCTS = 8
"""Products that one of XLA's kernels adds up; more take several times as long."""

UNFUSED_TERMS = 16
"""Terms of a sum that XLA leaves apart from the kernels whose results it adds."""

Batch = Complex[Array, "dim batch"]


def qubit_cross_matrices(left: Batch, right: Batch, num_qubits: int) -> Complex[Array, "n 2 2"]:
    """Reduced cross matrix of every qubit: Σ left[i, rest] · right[j, rest], see `cross_matrix`.

    From one GEMM per group of neighbouring qubits; of the last ones from products of amplitudes,
    since a GEMM for each of their many leading indices would be short on a CPU. Where there are
    compiled kernels only GPUs come here.
    """
    last = 0 if kernels() else min(num_qubits, LAST_QUBITS)
    parts = []
    for group in qubit_groups(num_qubits - last):
        total = cross_matrix(left, right, group, num_qubits)
        parts.append(total.reshape(-1)[traced_places(len(group))].sum(axis=-1))
    if last:
        shape = (2 ** (num_qubits - last), 2**last, -1)
        parts.append(_matrices_of_products(left.reshape(shape), right.reshape(shape), last))
    return jnp.concatenate(parts)


def _matrices_of_products(
    left: Complex[Array, "many dim batch"], right: Complex[Array, "many dim batch"], num_qubits: int
) -> Complex[Array, "n 2 2"]:
    """The same of a register of few qubits, added up over a leading axis."""
    many, dim, batch = left.shape
    rows = [_sum_of_products(left, right)]
    for qubit in range(num_qubits):
        halves = many, 2**qubit, 2, dim // 2 // 2**qubit * batch
        mine, other = left.reshape(halves), right.reshape(halves)
        for bit in range(2):
            flipped = _sum_of_products(mine[:, :, bit], other[:, :, 1 - bit])
            rows.append(flipped.reshape(-1, batch))
    sums = jnp.concatenate(rows).sum(axis=-1)
    equal = sums[:dim].reshape((2,) * num_qubits)
    flips = sums[dim:].reshape(num_qubits, 2, -1).sum(axis=-1)
    matrices = []
    for qubit in range(num_qubits):
        same = equal.sum(axis=[other for other in range(num_qubits) if other != qubit])
        matrices += [same[0], flips[qubit, 0], flips[qubit, 1], same[1]]
    return jnp.stack(matrices).reshape(num_qubits, 2, 2)


def _sum_of_products(
    left: Complex[Array, "many *rest"], right: Complex[Array, "many *rest"]
) -> Complex[Array, "*rest"]:
    """Σ left · right over the first axis, written out: XLA's own reductions do not vectorise.

    First sums of few products each, then sums of these, with so many terms that XLA does not fuse
    both into a kernel of too many products.
    """
    many = len(left)
    products = (
        many if many <= MAX_FUSED_PRODUCTS else min(many // UNFUSED_TERMS, MAX_FUSED_PRODUCTS)
    )
    total = _added(
        [a * b for a, b in zip(_cut(left, products), _cut(right, products), strict=True)]
    )
    while len(total) > 1:
        total = _added(_cut(total, min(len(total), UNFUSED_TERMS)))
    return total[0]


def _cut(array: Array, parts: int) -> list[Array]:
    """Equal parts of the first axis."""
    size = len(array) // parts
    return [array[part * size : (part + 1) * size] for part in range(parts)]


def _added(terms: list[Array]) -> Array:
    return sum(terms[1:], start=terms[0])


def qubit_groups(num_qubits: int) -> list[tuple[int, ...]]:
    """Split a register into runs of nearly equal length, at most `GROUP`.

    A group of g qubits costs 2**g multiplications per amplitude but reads the states once: small
    groups save arithmetic, large ones traffic.
    """
    count = -(-num_qubits // GROUP)
    bounds = [num_qubits * part // max(count, 1) for part in range(count + 1)]
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
