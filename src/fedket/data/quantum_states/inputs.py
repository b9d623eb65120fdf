"""Random product states, the inputs of generators. Arrays are (count, qubits, 2), complex64.

The first inputs are the same however many are asked for.

A generator is unitary: inputs whose mean is the maximally mixed state give every class the same
mean state, and no observable of one copy (so no ⟨Z₀⟩) tells the classes apart on average. That is
so for `haar` and for all of `basis`; `hemisphere` and `stabilizer` have a mean Bloch vector.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Complex64, Int

from fedket.errors import DataError

Inputs = Complex64[np.ndarray, "count qubits 2"]


def haar_inputs(rng: np.random.Generator, count: int, num_qubits: int) -> Inputs:
    """Every qubit uniform on the Bloch sphere (`ps` of NTangled, arXiv:2109.03400)."""
    return _from_sphere(rng, count, num_qubits, lowest=-1.0)


def hemisphere_inputs(rng: np.random.Generator, count: int, num_qubits: int) -> Inputs:
    """Every qubit uniform on the half of the Bloch sphere around |0>."""
    return _from_sphere(rng, count, num_qubits, lowest=0.0)


def stabilizer_inputs(rng: np.random.Generator, count: int, num_qubits: int) -> Inputs:
    """Every qubit |0>, |+> or |+i>: states without magic, all different; 3**num_qubits at most."""
    states = np.array([[1, 0], [0.5**0.5, 0.5**0.5], [0.5**0.5, 1j * 0.5**0.5]], np.complex64)
    inputs: Inputs = states[_distinct(rng, count, 3, num_qubits, "stabilizer")]
    return inputs


def basis_inputs(rng: np.random.Generator, count: int, num_qubits: int) -> Inputs:
    """Computational basis states, all different, 2**num_qubits at most (`cb` of NTangled)."""
    index = _distinct(rng, count, 2, num_qubits, "basis")
    inputs: Inputs = np.eye(2, dtype=np.complex64)[index]
    return inputs


def _distinct(
    rng: np.random.Generator, count: int, choices: int, num_qubits: int, name: str
) -> Int[np.ndarray, "count qubits"]:
    """Which of `choices` states each qubit is in, no two rows equal."""
    known = choices**num_qubits
    if count > known:
        raise DataError(
            f"inputs `{name}` of {num_qubits} qubits are {known} states, {count} per class were "
            f"asked for; use fewer samples or more qubits"
        )
    index = rng.permutation(known)[:count]
    return index[:, None] // choices ** np.arange(num_qubits)[::-1] % choices


def _from_sphere(rng: np.random.Generator, count: int, num_qubits: int, lowest: float) -> Inputs:
    """Qubits of uniform longitude at a uniform height cos θ between `lowest` and 1."""
    uniform = rng.uniform(size=(count, num_qubits, 2))
    height = lowest + (1 - lowest) * uniform[..., 0]
    phase = np.exp(2j * np.pi * uniform[..., 1])
    cos, sin = np.sqrt((1 + height) / 2), np.sqrt((1 - height) / 2)
    return np.stack([cos + 0j, phase * sin], axis=-1).astype(np.complex64)


INPUTS: dict[str, Callable[[np.random.Generator, int, int], Inputs]] = {
    "haar": haar_inputs,
    "hemisphere": hemisphere_inputs,
    "stabilizer": stabilizer_inputs,
    "basis": basis_inputs,
}
