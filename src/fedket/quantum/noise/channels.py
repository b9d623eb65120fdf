"""Channels on one or two qubits as Pauli transfer matrices.

R_ij = Tr(P_i E(P_j)) / 2**k, Pauli strings in the order I, X, Y, Z, the first qubit most
significant. R is real; a channel preserves the trace if its first row is (1, 0, …, 0).
"""

from collections.abc import Mapping
from functools import cached_property, reduce
from itertools import product
from math import exp, sqrt
from typing import Any

import numpy as np

from fedket.errors import CircuitError

PAULIS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
"""I, X, Y, Z."""

TOLERANCE = 1e-9
"""How far rounding may take a channel from preserving traces and signs of probabilities."""


class Channel:
    """A channel on one or two qubits, checked, never changed; equal to another of equal numbers.

    Args:
        transfer: Pauli transfer matrix, shape (4**k, 4**k), k = 1 or 2.

    Raises:
        CircuitError: The matrix preserves no trace, or takes some state to no state.
    """

    def __init__(self, transfer: np.ndarray) -> None:
        matrix = np.array(transfer, dtype=np.float64)
        if matrix.shape not in ((4, 4), (16, 16)):
            raise CircuitError(
                f"a channel's transfer matrix is 4×4 or 16×16, got shape {matrix.shape}"
            )
        if not np.abs(matrix[0] - np.eye(len(matrix))[0]).max() <= TOLERANCE:  # NaN included
            raise CircuitError(
                "the channel is not trace preserving: the first row of its transfer matrix should "
                f"be 1, 0, …, got {', '.join(f'{entry:.3g}' for entry in matrix[0])}"
            )
        least = np.linalg.eigvalsh(_choi(matrix)).min()
        if not least >= -TOLERANCE:
            raise CircuitError(
                f"the channel has a negative probability, {least:.3g}: it takes some state to no "
                "state; check its rates"
            )
        matrix.flags.writeable = False
        self.transfer = matrix

    @cached_property
    def num_qubits(self) -> int:
        """1 or 2."""
        return 1 if len(self.transfer) == 4 else 2

    @cached_property
    def is_pauli(self) -> bool:
        """Whether it applies random Paulis, so that its matrix is diagonal."""
        return bool((self.transfer == np.diag(self.transfer.diagonal())).all())

    @cached_property
    def is_depolarising(self) -> bool:
        """Whether it shrinks all Paulis alike, and so commutes with every gate on its qubits."""
        shrunk = self.transfer.diagonal()[1:]
        return self.is_pauli and bool((shrunk == shrunk[0]).all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Channel) and self.transfer.tobytes() == other.transfer.tobytes()

    def __hash__(self) -> int:
        return hash(self.transfer.tobytes())

    def __repr__(self) -> str:
        kept = ", ".join(f"{entry:.4g}" for entry in self.transfer.diagonal())
        return f"Channel(diagonal {kept})"


def depolarising(rate: float, num_qubits: int = 1) -> Channel:
    """ρ → (1 − λ) ρ + λ I / 2**k with λ = `rate`, of 0 to 4**k / (4**k − 1).

    Qiskit Aer's unit. PennyLane's p, the probability of X, Y or Z on one qubit, is 3λ/4.
    """
    dim = 4**num_qubits
    _within("depolarising rate", rate, dim / (dim - 1))
    return Channel(np.diag([1.0] + [1.0 - rate] * (dim - 1)))


def amplitude_damping(gamma: float) -> Channel:
    """Decay of |1⟩ to |0⟩ with probability `gamma`, of 0 to 1."""
    _within("amplitude damping", gamma)
    matrix = np.diag([1.0, sqrt(1 - gamma), sqrt(1 - gamma), 1 - gamma])
    matrix[3, 0] = gamma
    return Channel(matrix)


def phase_damping(gamma: float) -> Channel:
    """Loss of phase: X and Y shrink by √(1 − `gamma`), `gamma` of 0 to 1."""
    _within("phase damping", gamma)
    return Channel(np.diag([1.0, sqrt(1 - gamma), sqrt(1 - gamma), 1.0]))


def thermal_relaxation(duration: float, t1: float, t2: float, excited: float = 0.0) -> Channel:
    """Relaxation during a gate.

    Args:
        duration: Of the gate, in the unit of `t1`.
        t1: Time in which a population decays to 1/e.
        t2: Time in which a phase decays to 1/e, at most 2 `t1`.
        excited: Population of |1⟩ in equilibrium, of 0 to 1.

    Raises:
        CircuitError: A number is out of range, or T2 > 2 T1.
    """
    _within("excited population", excited)
    if not (t1 > 0 and t2 > 0 and 0 <= duration < float("inf")):
        raise CircuitError(
            f"relaxation takes times above 0, got T1 = {t1:g}, T2 = {t2:g} for a gate of "
            f"{duration:g}"
        )
    if t2 > 2 * t1 * (1 + TOLERANCE):
        raise CircuitError(f"T2 is at most 2 T1, got T2 = {t2:g} and T1 = {t1:g}")
    population, phase = exp(-duration / t1), exp(-duration / t2)
    matrix = np.diag([1.0, phase, phase, population])
    matrix[3, 0] = (1 - 2 * excited) * (1 - population)
    return Channel(matrix)


def power(channel: Channel, exponent: float) -> Channel:
    """What the channel does in `exponent` times the time: its power, which need not be whole.

    A rate λ becomes 1 − (1 − λ)^exponent, about `exponent` times λ where that is small.

    Args:
        channel: Random Paulis, or such as take X and Y to multiples of themselves and Z to one of
            itself and I: damping and relaxation.
        exponent: At least 0.

    Raises:
        CircuitError: The channel is another, or no power of it is a channel.
    """
    diagonal = channel.transfer.diagonal()
    shift = channel.transfer[-1, 0] if channel.num_qubits == 1 else 0.0
    rest = channel.transfer - np.diag(diagonal)
    rest[-1, 0] -= shift
    if exponent < 0 or (diagonal < 0).any() or np.abs(rest).max() > TOLERANCE:
        raise CircuitError(
            "powers of a channel are of depolarising, Pauli, damping and relaxation channels, with "
            f"an exponent of 0 or more; got {channel} and {exponent:g}"
        )
    matrix = np.diag(diagonal**exponent)
    if shift:
        matrix[-1, 0] = shift * (1 - matrix[-1, -1]) / (1 - diagonal[-1])
    return Channel(matrix)


def pauli(probabilities: Mapping[str, float]) -> Channel:
    """Random Paulis: `{"X": 0.01, "Z": 0.02}`, or on two qubits `{"XX": 0.01}`.

    Args:
        probabilities: Pauli string -> probability; what is left to 1 is no error.

    Raises:
        CircuitError: A string is unknown, a probability is negative, or their sum is above 1.
    """
    size = max(map(len, probabilities), default=1)
    known = ["".join(letters) for letters in product("IXYZ", repeat=size)]
    if size > 2 or not set(probabilities) <= set(known):
        raise CircuitError(
            f"Pauli errors are named by I, X, Y and Z, one or two of them each, got "
            f"{', '.join(probabilities)}"
        )
    for name, probability in probabilities.items():
        _within(f"probability of {name}", probability)
    errors = np.array([probabilities.get(name, 0.0) for name in known])
    errors[0] += 1 - errors.sum()
    if errors[0] < -TOLERANCE:
        raise CircuitError(
            f"probabilities of Pauli errors add up to {sum(probabilities.values()):g}; their sum "
            "should be at most 1"
        )
    return Channel(np.diag(_characters(size) @ errors))


def pauli_probabilities(channel: Channel) -> np.ndarray:
    """Probability of each Pauli string, of a channel that applies random ones."""
    diagonal = channel.transfer.diagonal()
    return np.clip(_characters(channel.num_qubits) @ diagonal / len(diagonal), 0, 1)


def pauli_strings(num_qubits: int) -> np.ndarray:
    """Matrices of all Pauli strings in order, shape (4**k, 2**k, 2**k)."""
    factors = product(PAULIS, repeat=num_qubits)
    return np.array([reduce(np.kron, matrices) for matrices in factors])


def _characters(num_qubits: int) -> np.ndarray:
    """Entry (i, j): 1 if Pauli strings i and j commute, −1 if they do not."""
    one = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    return reduce(np.kron, [one] * num_qubits)


def _choi(transfer: np.ndarray) -> np.ndarray:
    """Choi matrix Σ R_ij P_i ⊗ P_jᵀ / 4**k; its eigenvalues are Kraus operators' weights."""
    size = len(transfer)
    strings = pauli_strings(1 if size == 4 else 2)
    matrix: Any = np.einsum("ij,iab,jdc->acbd", transfer, strings, strings)
    return np.asarray(matrix.reshape(size, size) / size)


def _within(what: str, value: float, largest: float = 1.0) -> None:
    if not 0 <= value <= largest:
        raise CircuitError(f"{what} should be a number of 0 to {largest:.5g}, got {value:g}")
