"""What a QNode returns, as a function of final states: expectation values and probabilities."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from fedket.errors import CircuitError
from fedket.quantum.readout import expval, probabilities

Read = Callable[[Complex[Array, "dim batch"]], Float[Array, "batch values"]]


def read_measurements(measurements: tuple[Any, ...], qubits: dict[Any, int]) -> Read:
    """All values of a QNode, side by side.

    Args:
        measurements: PennyLane's, in the order of the QNode's `return`.
        qubits: Wire -> qubit.

    Raises:
        CircuitError: One is neither an expectation value of Pauli strings nor probabilities.
    """
    parts = [_read_one(measurement, qubits) for measurement in measurements]
    if not parts:
        raise CircuitError("it returns no measurement")
    return lambda psi: jnp.concatenate([part(psi) for part in parts], axis=1)


def _read_one(measurement: Any, qubits: dict[Any, int]) -> Read:
    kind = type(measurement).__name__
    if kind == "ProbabilityMP" and measurement.obs is None:
        wires = measurement.wires or list(qubits)
        return _probabilities(tuple(qubits[wire] for wire in wires), len(qubits))
    sentence = getattr(measurement.obs, "pauli_rep", None)
    if kind != "ExpectationMP" or sentence is None:
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
    return _combination(tuple(strings), tuple(factors), constant)


def _combination(strings: tuple[str, ...], factors: tuple[float, ...], constant: float) -> Read:
    def read(psi: Array) -> Array:
        if not strings:
            return jnp.full((psi.shape[1], 1), constant, psi.real.dtype)
        mixed = expval(psi, *strings) @ jnp.asarray(factors, psi.real.dtype)
        return mixed[:, None] + constant

    return read


def _probabilities(kept: tuple[int, ...], num_qubits: int) -> Read:
    others = tuple(qubit for qubit in range(num_qubits) if qubit not in kept)

    def read(psi: Array) -> Array:
        shaped = probabilities(psi).reshape((2,) * num_qubits + (-1,))
        of_kept = jnp.transpose(shaped, (num_qubits, *kept, *others))
        return of_kept.reshape(psi.shape[1], 2 ** len(kept), -1).sum(axis=2)

    return read
