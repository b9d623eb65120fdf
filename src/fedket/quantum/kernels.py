"""The few operations on states that the engine is made of.

States are arrays (num_states, 2**num_qubits, batch), batch last: every kernel is then vertical
and vectorises over the batch. `num_states` is 1 going forward and 2 (ψ and its cotangent) going
back, when both are un-applied by the same kernel.

Large products run on real and imaginary planes: on CPUs a real GEMM of twice the size takes half
the time of a complex one.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float

from fedket.quantum.monomial import Monomial
from fedket.quantum.plan import PairStep

States = Complex[Array, "states dim batch"]


def permute(psi: States, monomial: Monomial) -> States:
    """Apply a signed permutation of the whole register."""
    if not monomial.is_diagonal:
        psi = psi[:, monomial.source]
    if (monomial.sign < 0).any():
        psi = psi * jnp.asarray(monomial.sign, psi.real.dtype)[None, :, None]
    return psi


def apply_pair(step: PairStep, matrix: Complex[Array, "m m"], psi: States) -> States:
    """Apply a folded monomial, then `matrix` on the step's qubits (first is most significant)."""
    view = _view(step, psi)
    monomial = step.monomial
    slices = [view[:, j] for j in range(view.shape[1])]
    if monomial is not None:
        slices = [signed(slices[s], g) for s, g in zip(monomial.source, monomial.sign, strict=True)]
    if step.dense:
        slices = multiply_slices(matrix, slices)
    return jnp.stack(slices, axis=1).reshape(psi.shape)


def unapply_pair(step: PairStep, matrix: Complex[Array, "m m"], psi: States) -> States:
    """Undo `apply_pair` with the same `matrix` (a unitary)."""
    view = _view(step, psi)
    slices = [view[:, j] for j in range(view.shape[1])]
    if step.dense:
        slices = multiply_slices(matrix.conj().T, slices)
    if step.monomial is not None:
        back = step.monomial.inverse()
        slices = [signed(slices[s], g) for s, g in zip(back.source, back.sign, strict=True)]
    return jnp.stack(slices, axis=1).reshape(psi.shape)


def _view(step: PairStep, psi: States) -> Complex[Array, "outer window inner"]:
    return psi.reshape(psi.shape[0] * 2 ** step.qubits[0], 2**step.width, -1)


def signed(amplitudes: Array, sign: np.int8) -> Array:
    """Amplitudes times ±1."""
    return -amplitudes if sign < 0 else amplitudes


def multiply_slices(matrix: Array, slices: list[Array]) -> list[Array]:
    """Multiply the leading index of `slices`, split as (matrix index, spectator), by a matrix."""
    size, spectators = matrix.shape[0], len(slices) // matrix.shape[0]
    return [
        sum(
            (matrix[i, j] * slices[j * spectators + c] for j in range(1, size)),
            start=matrix[i, 0] * slices[c],
        )
        for i in range(size)
        for c in range(spectators)
    ]


def apply_window(
    matrix: Complex[Array, "m m"], psi: States, qubits: tuple[int, ...], num_qubits: int
) -> States:
    """Apply a dense matrix on ascending `qubits`: neighbours as one GEMM, or a pair far apart."""
    view = _window_view(psi, qubits, num_qubits)
    if view.ndim == 4:
        real, imag = matrix.real, matrix.imag
        embedded = jnp.block([[real, -imag], [imag, real]])
        product = jnp.einsum("ij,sajb->saib", embedded, _planes(view))
        return lax.complex(*jnp.split(product, 2, axis=2)).reshape(psi.shape)
    slices = [view[:, i, :, j] for i in range(2) for j in range(2)]
    out = multiply_slices(matrix, slices)
    rows = [jnp.stack(out[2 * i : 2 * i + 2], axis=2) for i in range(2)]
    return jnp.stack(rows, axis=1).reshape(psi.shape)


def cross_matrix(
    left: Complex[Array, "dim batch"],
    right: Complex[Array, "dim batch"],
    qubits: tuple[int, ...],
    num_qubits: int,
) -> Complex[Array, "m m"]:
    """M[i, j] = Σ left[i, rest] · right[j, rest], over all other qubits and the batch.

    Args:
        left: Amplitudes, shape (2**num_qubits, batch).
        right: Amplitudes of the same shape.
        qubits: Ascending qubits that i and j run over: neighbours, or a pair far apart.
        num_qubits: Size of the register.
    """
    left, right = (_window_view(x[None], qubits, num_qubits) for x in (left, right))
    if left.ndim == 4:
        m = left.shape[2]
        # One product per leading index and a sum: a single one would copy both operands transposed.
        total = jnp.einsum("saib,sajb->saij", _planes(left), _planes(right)).sum((0, 1))
        return lax.complex(total[:m, :m] - total[m:, m:], total[:m, m:] + total[m:, :m])
    return jnp.einsum("aibjc,akblc->ijkl", left, right).reshape(4, 4)


def _planes(view: Complex[Array, "states a m b"]) -> Float[Array, "states a two_m b"]:
    return jnp.concatenate([view.real, view.imag], axis=2)


def _window_view(psi: States, qubits: tuple[int, ...], num_qubits: int) -> Array:
    """Split the register at a window.

    Neighbours: (states, before, window, after). A pair: (states · before, 2, between, 2, after).
    """
    first, last = qubits[0], qubits[-1]
    states, _, batch = psi.shape
    after = 2 ** (num_qubits - 1 - last) * batch
    if last - first + 1 == len(qubits):
        return psi.reshape(states, 2**first, 2 ** len(qubits), after)
    return psi.reshape(states * 2**first, 2, 2 ** (last - first - 1), 2, after)
