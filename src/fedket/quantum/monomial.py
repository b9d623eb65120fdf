"""Gates that only move or sign amplitudes (CNOT, CZ, SWAP), as index arithmetic.

A monomial P maps psi to (P psi)[j] = sign[j] · psi[source[j]]. Chains of such gates cost one
gather, or nothing at all when they are folded into the dense gate that follows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fedket.quantum.circuit import Gate


class Monomial(NamedTuple):
    """A signed permutation of basis states; both arrays have shape (2**k,)."""

    source: np.ndarray
    sign: np.ndarray

    @property
    def is_diagonal(self) -> bool:
        """Whether no amplitude moves."""
        return bool(np.array_equal(self.source, np.arange(self.source.size)))

    def inverse(self) -> "Monomial":
        """The signed permutation that undoes this one."""
        back = np.argsort(self.source).astype(np.int32)
        return Monomial(back, self.sign[back])


def compose_monomials(gates: Sequence[Gate], qubits: Sequence[int]) -> Monomial:
    """Multiply monomial gates, applied left to right, on the register `qubits`.

    Args:
        gates: CNOT, CZ and SWAP gates on a subset of `qubits`.
        qubits: The register, most significant first.
    """
    index = np.arange(2 ** len(qubits), dtype=np.int32)
    total = Monomial(index, np.ones(index.size, dtype=np.int8))
    place = {qubit: len(qubits) - 1 - i for i, qubit in enumerate(qubits)}
    for gate in gates:
        first, second = (place[qubit] for qubit in gate.qubits)
        source, sign = _one(gate.name, index, first, second)
        total = Monomial(total.source[source], total.sign[source] * sign)
    return total


def _one(name: str, index: np.ndarray, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
    """Source and sign of one gate on the bits `first` and `second` of the index."""
    one = np.ones(index.size, dtype=np.int8)
    bit_first, bit_second = (index >> first) & 1, (index >> second) & 1
    if name == "CNOT":
        return index ^ (bit_first << second), one
    if name == "CZ":
        return index, one - 2 * (bit_first & bit_second).astype(np.int8)
    differ = bit_first ^ bit_second  # SWAP
    return index ^ (differ << first) ^ (differ << second), one
