"""States go forward through a noisy circuit: what is read at its end, every outcome at once.

States are real arrays (batch, 4**n) of Pauli averages Tr(P ρ), which the same blocks take forward
that take observables back. What belongs to all outcomes together, such as finite shots, needs
them; a few averages come cheaper from observables, whatever the batch.
"""

from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fedket.quantum.circuit import Circuit
from fedket.quantum.engine import match_arguments
from fedket.quantum.noise.heisenberg import Angles, Matrices, States, unitaries_of, with_noise
from fedket.quantum.noise.kernels import apply_factors, permute
from fedket.quantum.noise.model import NoiseModel
from fedket.quantum.noise.observables import pauli_averages
from fedket.quantum.noise.plan import plan_noisy

Averages = Float[Array, "batch strings"]


def outcome_probabilities(
    circuit: Circuit, noise: NoiseModel, params: Angles, psi: States
) -> Float[Array, "batch outcomes"]:
    """Exact probability of every basis state to be read after a noisy circuit.

    Args:
        circuit: The circuit, of at most 8 qubits.
        noise: What follows its gates, and how bits are read.
        params: Angles in radians, shape `circuit.params_shape`.
        psi: States of norm 1 that enter, as columns, shape (2**num_qubits, batch).

    Returns:
        Shape (batch, 2**num_qubits).

    Raises:
        CircuitError: The circuit is too large, or shapes do not fit it.
    """
    blocks = plan_noisy(circuit, noise)
    params, psi = match_arguments(circuit, params, psi)

    def layer(averages: Averages, matrices: list[Matrices]) -> tuple[Averages, None]:
        for block, (singles, pairs) in zip(blocks, matrices, strict=True):
            if block.move is not None:
                averages = permute(averages, block.move)
            averages = apply_factors(block, singles, pairs, averages)
        return averages, None

    noisy = with_noise(blocks, unitaries_of(blocks, params))
    averages, _ = jax.lax.scan(layer, averages_of(psi), noisy)
    signs = averages[:, _strings_of_z(circuit.num_qubits)]
    return signs @ jnp.asarray(_to_outcomes(circuit.num_qubits, noise).T, signs.dtype)


def averages_of(psi: States) -> Averages:
    """Pauli averages of pure states in columns."""
    return pauli_averages(psi.T[:, :, None] * psi.T.conj()[:, None, :])


def _strings_of_z(num_qubits: int) -> np.ndarray:
    """Places of the strings of I and Z alone, in binary order."""
    index = np.arange(2**num_qubits)
    places = np.zeros_like(index)
    for bit in range(num_qubits):
        places += 3 * ((index >> bit) & 1) << (2 * bit)
    return places


def _to_outcomes(num_qubits: int, noise: NoiseModel) -> np.ndarray:
    """Averages of products of Zs -> probabilities of what is read."""
    one = [confusion(*noise.readout_of(q)) @ [[0.5, 0.5], [0.5, -0.5]] for q in range(num_qubits)]
    return np.asarray(reduce(np.kron, one))


def confusion(wrong_one: float, wrong_zero: float) -> np.ndarray:
    """Probabilities of what is read (rows) for each bit (columns)."""
    return np.array([[1 - wrong_one, wrong_zero], [wrong_one, 1 - wrong_zero]])
