"""Random product states, the inputs of generators. Arrays are (count, qubits, 2), complex64.

A generator is unitary: inputs whose mean is the maximally mixed state give every class the same
mean state, and no observable of one copy (so no ⟨Z₀⟩) tells the classes apart on average. That is
so for `haar`; `hemisphere` and `stabilizer` have a mean Bloch vector and leave a difference.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Complex64

from fedket.errors import DataError

Inputs = Complex64[np.ndarray, "count qubits 2"]


def haar_inputs(rng: np.random.Generator, count: int, num_qubits: int) -> Inputs:
    """Every qubit uniform on the Bloch sphere (`ps` of NTangled, arXiv:2109.03400)."""
    return _from_sphere(rng, rng.uniform(-1, 1, (count, num_qubits)))


def hemisphere_inputs(rng: np.random.Generator, count: int, num_qubits: int) -> Inputs:
    """Every qubit uniform on the half of the Bloch sphere around |0>."""
    return _from_sphere(rng, rng.uniform(0, 1, (count, num_qubits)))


def stabilizer_inputs(rng: np.random.Generator, count: int, num_qubits: int) -> Inputs:
    """Every qubit |0>, |+> or |+i>: states without magic, all different.

    Raises:
        DataError: If `count` exceeds the 3**num_qubits states there are.
    """
    states = np.array([[1, 0], [0.5**0.5, 0.5**0.5], [0.5**0.5, 1j * 0.5**0.5]], np.complex64)
    if count > 3**num_qubits:
        raise DataError(
            f"inputs `stabilizer` of {num_qubits} qubits are {3**num_qubits} states, {count} per "
            f"class were asked for; use fewer samples or more qubits"
        )
    index = rng.choice(3**num_qubits, size=count, replace=False)
    return states[index[:, None] // 3 ** np.arange(num_qubits)[::-1] % 3]


def _from_sphere(rng: np.random.Generator, height: np.ndarray) -> Inputs:
    """Qubits at a height cos θ above the equator and a uniform longitude."""
    phase = np.exp(2j * np.pi * rng.uniform(size=height.shape))
    cos, sin = np.sqrt((1 + height) / 2), np.sqrt((1 - height) / 2)
    return np.stack([cos + 0j, phase * sin], axis=-1).astype(np.complex64)


INPUTS: dict[str, Callable[[np.random.Generator, int, int], Inputs]] = {
    "haar": haar_inputs,
    "hemisphere": hemisphere_inputs,
    "stabilizer": stabilizer_inputs,
}
