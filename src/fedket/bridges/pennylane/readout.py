"""What a QNode returns, as a function of final states: expectation values and probabilities."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from fedket.errors import CircuitError
from fedket.quantum.readout import expval, probabilities

Read = Callable[[Complex[Array, "dim batch"]], Float[Array, "batch values"]]


class PauliSums(NamedTuple):
    """Expectation values that a QNode returns, as sums of factors times Pauli strings.

    Attributes:
        strings: All strings.
        factors: Shape (values, strings).
        constants: What is added to each value.
    """

    strings: tuple[str, ...]
    factors: Float[np.ndarray, "values strings"]
    constants: Float[np.ndarray, " values"]

    def of(self, values: Float[Array, "batch strings"]) -> Float[Array, "batch values"]:
        """Values of the QNode from those of the strings."""
        dtype = values.dtype
        return values @ jnp.asarray(self.factors.T, dtype) + jnp.asarray(self.constants, dtype)


def read_measurements(
    measurements: tuple[Any, ...], qubits: dict[Any, int]
) -> tuple[Read, PauliSums | None]:
    """All values of a QNode, side by side; and as sums of Pauli strings, if that is all they are.

    Args:
        measurements: PennyLane's, in the order of the QNode's `return`.
        qubits: Wire -> qubit.

    Raises:
        CircuitError: One is neither an expectation value of Pauli strings nor probabilities.
    """
    if not measurements:
        raise CircuitError("it returns no measurement")
    parts: list[Read] = []
    sums: list[PauliSums] = []
    for measurement in measurements:
        if type(measurement).__name__ == "ProbabilityMP" and measurement.obs is None:
            wires = measurement.wires or list(qubits)
            parts.append(_probabilities(tuple(qubits[wire] for wire in wires), len(qubits)))
        else:
            sums.append(_pauli_sum(measurement, qubits))
            parts.append(partial(_expectation, sums[-1]))

    def read(psi: Array) -> Array:
        return jnp.concatenate([part(psi) for part in parts], axis=1)

    return read, _together(sums) if len(sums) == len(parts) else None


def _pauli_sum(measurement: Any, qubits: dict[Any, int]) -> PauliSums:
    sentence = getattr(measurement.obs, "pauli_rep", None)
    if type(measurement).__name__ != "ExpectationMP" or sentence is None:
        raise CircuitError(f"it returns `{measurement}`, which fedket does not read")
    constant, strings, factors = 0.0, [], []
    for word, factor in sentence.items():
        if not np.isclose(np.imag(factor), 0):
            raise CircuitError(f"`{measurement.obs}` is not Hermitian")
        if not word:
            constant += float(np.real(factor))
            continue
        strings.append(" ".join(f"{pauli}{qubits[wire]}" for wire, pauli in word.items()))
        factors.append(float(np.real(factor)))
    return PauliSums(tuple(strings), np.array([factors]), np.array([constant]))


def _together(sums: list[PauliSums]) -> PauliSums:
    strings = tuple(dict.fromkeys(string for one in sums for string in one.strings))
    factors = np.zeros((len(sums), len(strings)))
    for row, one in zip(factors, sums, strict=True):
        for string, factor in zip(one.strings, one.factors[0], strict=True):
            row[strings.index(string)] += factor
    return PauliSums(strings, factors, np.concatenate([one.constants for one in sums]))


def _expectation(sums: PauliSums, psi: Array) -> Array:
    if not sums.strings:
        return jnp.full((psi.shape[1], 1), sums.constants[0], psi.real.dtype)
    return sums.of(expval(psi, *sums.strings))


def _probabilities(kept: tuple[int, ...], num_qubits: int) -> Read:
    others = tuple(qubit for qubit in range(num_qubits) if qubit not in kept)

    def read(psi: Array) -> Array:
        shaped = probabilities(psi).reshape((2,) * num_qubits + (-1,))
        of_kept = jnp.transpose(shaped, (num_qubits, *kept, *others))
        return of_kept.reshape(psi.shape[1], 2 ** len(kept), -1).sum(axis=2)

    return read
