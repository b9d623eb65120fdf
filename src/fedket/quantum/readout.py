"""What is measured. Exact expectation values and probabilities; read-outs are (batch, values).

A Pauli string is a product of matrices X, Y, Z on some qubits. It maps |k⟩ to
i^y (−1)^parity(k & z) |k ⊕ x⟩, with y its number of Ys, z the qubits of its Zs and Ys, and x those
of its Xs and Ys (qubit 0 is the most significant bit of k).
"""

import re

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Shaped

from fedket.errors import CircuitError

States = Complex[Array, "dim batch"]
Values = Float[Array, "batch values"]

PauliString = dict[int, str]
"""Qubit -> X, Y or Z."""


def probabilities(psi: States) -> Float[Array, "dim batch"]:
    """Born probabilities of the basis states, for states as columns; columns sum to 1."""
    return psi.real**2 + psi.imag**2


def expval(psi: States, *observables: str) -> Values:
    """Exact expectation values of Pauli strings; differentiable, for `jax.jit` and `jax.vmap`.

    A string names a Pauli matrix and its qubit, as often as there are factors: `"Z0"`, `"Z0 Z1"`,
    `"X0 Y2"`. A Hamiltonian Σ c_k P_k is `expval(psi, *strings) @ c`.

    Args:
        psi: States of norm 1 as columns, shape (2**num_qubits, batch).
        observables: Pauli strings, at least one.

    Returns:
        Values in [−1, 1], shape (batch, len(observables)), in the order of `observables`.

    Raises:
        CircuitError: A string is none, or names a qubit twice or one that is not there.
    """
    strings = [parse_pauli(text, _num_qubits(psi)) for text in observables]
    if not strings:
        raise CircuitError('name an observable, for example `expval(psi, "Z0", "Z0 Z1")`')
    # One matrix product for all strings that flip the same qubits: X and Y flip, Z does not.
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, string in enumerate(strings):
        alike.setdefault(_qubits(string, "XY"), []).append(place)
    parts = [
        _flipping(psi, flipped, [strings[place] for place in places])
        for flipped, places in alike.items()
    ]
    if len(parts) == 1:
        return parts[0]
    order = np.argsort([place for places in alike.values() for place in places])
    return jnp.concatenate(parts, axis=1)[:, order]


def expval_parity(psi: States, subsets: tuple[tuple[int, ...], ...]) -> Values:
    """⟨Π_{q in S} Z_q⟩ for each subset S of qubits: `expval` of strings of Zs alone.

    Args:
        psi: States as columns, shape (2**num_qubits, batch).
        subsets: Qubits of each product.

    Returns:
        Values in [−1, 1], shape (batch, len(subsets)).
    """
    return parities(probabilities(psi), subsets)


def parities(probs: Float[Array, "dim batch"], subsets: tuple[tuple[int, ...], ...]) -> Values:
    """`expval_parity` of the probabilities of basis states, or of how often each was seen.

    Args:
        probs: Columns of shape (2**num_qubits, batch).
        subsets: Qubits of each product.

    The signs of a subset factorise over two halves of the register, so that no table of
    len(subsets) × 2**num_qubits is built for many qubits: a GEMM over the upper half, a sum over
    the lower.
    """
    num_qubits = _num_qubits(probs)
    upper = num_qubits // 2
    high = _signs(subsets, range(upper))
    low = _signs(subsets, range(upper, num_qubits))
    dtype = probs.dtype
    if num_qubits <= 10:
        signs = (high[:, :, None] * low[:, None, :]).reshape(len(subsets), -1)
        return (jnp.asarray(signs, dtype) @ probs).T
    split = probs.reshape(2**upper, 2 ** (num_qubits - upper), -1)
    partial = jnp.einsum("kh,hlb->klb", jnp.asarray(high, dtype), split)
    return jnp.einsum("kl,klb->bk", jnp.asarray(low, dtype), partial)


def _flipping(psi: States, flipped: tuple[int, ...], strings: list[PauliString]) -> Values:
    """Expectation values of strings whose Xs and Ys are on the same qubits."""
    subsets = tuple(_qubits(string, "YZ") for string in strings)
    if not flipped:
        return expval_parity(psi, subsets)
    num_qubits = _num_qubits(psi)
    mask = sum(1 << (num_qubits - 1 - qubit) for qubit in flipped)
    overlaps = psi[np.arange(len(psi)) ^ mask].conj() * psi
    phases = np.array([1j ** len(_qubits(string, "Y")) for string in strings])
    signs = jnp.asarray(phases[:, None] * _signs(subsets, range(num_qubits)), psi.dtype)
    return (signs @ overlaps).real.T


def parse_pauli(text: str, num_qubits: int) -> PauliString:
    """Read a Pauli string such as `"Z0 X2"`.

    Raises:
        CircuitError: It is none, or names a qubit twice or one that is not there.
    """
    factors = [(int(qubit), name) for name, qubit in re.findall(r"([XYZ])(\d+)", text)]
    string = dict(factors)
    if not re.fullmatch(r"\s*([XYZ]\d+\s*)+", text, re.ASCII) or len(string) < len(factors):
        raise CircuitError(
            f'`{text}` is not a Pauli string; write X, Y, Z and a qubit each, like "Z0 Z1"'
        )
    if max(string) >= num_qubits:
        raise CircuitError(f"`{text}`: qubits go from 0 to {num_qubits - 1}")
    return string


def _qubits(string: PauliString, names: str) -> tuple[int, ...]:
    return tuple(sorted(qubit for qubit, name in string.items() if name in names))


def _num_qubits(columns: Shaped[Array, "dim batch"]) -> int:
    return columns.shape[0].bit_length() - 1


def _signs(subsets: tuple[tuple[int, ...], ...], qubits: range) -> np.ndarray:
    """±1 of each subset's part on `qubits`, shape (subsets, 2**len(qubits))."""
    index = np.arange(2 ** len(qubits))
    rows = np.ones((len(subsets), index.size), dtype=np.int8)
    for row, subset in zip(rows, subsets, strict=True):
        for qubit in set(subset) & set(qubits):
            row *= (1 - 2 * ((index >> (qubits[-1] - qubit)) & 1)).astype(np.int8)
    return rows
