"""The slow, plain simulator of noise: the density matrix, gate by gate, and the yardstick.

It shares neither plan nor picture with the exact engine: channels act on ρ, read-out errors on
probabilities, gradients are automatic differentiation through all of it.
"""

from functools import reduce

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float

from fedket.quantum.circuit import Circuit
from fedket.quantum.noise.channels import Channel, pauli_strings
from fedket.quantum.noise.model import NoiseModel
from fedket.quantum.reference import apply_gate, gate_matrix


def reference_density(
    circuit: Circuit,
    noise: NoiseModel,
    params: Float[Array, "layers slots"],
    psi: Complex[Array, "dim batch"],
) -> Complex[Array, "dim dim batch"]:
    """Density matrices at the end of a noisy circuit.

    Args:
        circuit: The circuit.
        noise: What follows its gates.
        params: Angles in radians, shape `circuit.params_shape`.
        psi: States that enter, as columns, shape (2**num_qubits, batch).
    """
    n, dim = circuit.num_qubits, len(psi)
    start = (psi[:, None] * psi.conj()[None]).reshape(*(2,) * (2 * n), -1)

    def layer(rho: Array, angles: Float[Array, " slots"]) -> tuple[Array, None]:
        for gate in circuit.layer:
            matrix, columns = gate_matrix(gate, angles), tuple(n + q for q in gate.qubits)
            rho = apply_gate(matrix, rho, gate.qubits)
            rho = apply_gate(matrix.conj(), rho, columns)
            for channel, qubits in noise.after(gate):
                places = (*qubits, *(n + q for q in qubits))
                rho = apply_gate(jnp.asarray(superoperator(channel), rho.dtype), rho, places)
        return rho, None

    rho, _ = lax.scan(layer, start, params)
    return rho.reshape(dim, dim, -1)


def superoperator(channel: Channel) -> np.ndarray:
    """E as a matrix on (row, column) indices of ρ: Σ R_ij P_i ⊗ P_j* / 2**k."""
    strings = pauli_strings(channel.num_qubits)
    dim = strings.shape[1]
    table = np.einsum("ij,iab,jcd->abcd", channel.transfer, strings, strings.conj()) / dim
    return np.asarray(table.reshape(dim**2, dim**2))


def reference_probabilities(
    rho: Complex[Array, "dim dim batch"], noise: NoiseModel
) -> Float[Array, "dim batch"]:
    """Probabilities of what is read, errors included."""
    n = len(rho).bit_length() - 1
    confusion = reduce(np.kron, [_confusion(*noise.readout_of(q)) for q in range(n)])
    return jnp.asarray(confusion) @ jnp.einsum("iib->ib", rho).real


def _confusion(wrong_one: float, wrong_zero: float) -> np.ndarray:
    """Column: the bit; row: what is read."""
    return np.array([[1 - wrong_one, wrong_zero], [wrong_one, 1 - wrong_zero]])
