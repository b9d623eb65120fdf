"""What is measured. Exact expectation values and probabilities; read-outs are (batch, values)."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

States = Complex[Array, "dim batch"]
Values = Float[Array, "batch values"]


def probabilities(psi: States) -> Float[Array, "dim batch"]:
    """Born probabilities of the basis states."""
    return psi.real**2 + psi.imag**2


def expval_z(psi: States, qubits: tuple[int, ...]) -> Values:
    """⟨Z_q⟩ for each of `qubits`, in [−1, 1]."""
    return expval_parity(psi, tuple((qubit,) for qubit in qubits))


def expval_zz(psi: States, pairs: tuple[tuple[int, int], ...]) -> Values:
    """⟨Z_i Z_j⟩ for each pair, in [−1, 1]."""
    return expval_parity(psi, pairs)


def expval_parity(psi: States, subsets: tuple[tuple[int, ...], ...]) -> Values:
    """⟨Π_{q in S} Z_q⟩ for each subset S of qubits.

    The signs of S factorise over two halves of the register, so that no table of
    len(subsets) × 2**num_qubits is ever built: a GEMM over the upper half, a sum over the lower.
    """
    num_qubits = psi.shape[0].bit_length() - 1
    upper = num_qubits // 2
    probs = probabilities(psi)
    high = _signs(subsets, range(upper))
    low = _signs(subsets, range(upper, num_qubits))
    dtype = probs.dtype
    if num_qubits <= 10:
        signs = (high[:, :, None] * low[:, None, :]).reshape(len(subsets), -1)
        return (jnp.asarray(signs, dtype) @ probs).T
    split = probs.reshape(2**upper, 2 ** (num_qubits - upper), -1)
    partial = jnp.einsum("kh,hlb->klb", jnp.asarray(high, dtype), split)
    return jnp.einsum("kl,klb->bk", jnp.asarray(low, dtype), partial)


def _signs(subsets: tuple[tuple[int, ...], ...], qubits: range) -> np.ndarray:
    """±1 of each subset's part on `qubits`, shape (subsets, 2**len(qubits))."""
    index = np.arange(2 ** len(qubits))
    rows = np.ones((len(subsets), index.size), dtype=np.int8)
    for row, subset in zip(rows, subsets, strict=True):
        for qubit in set(subset) & set(qubits):
            row *= (1 - 2 * ((index >> (qubits[-1] - qubit)) & 1)).astype(np.int8)
    return rows
