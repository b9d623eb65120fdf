"""The slow, plain simulator: the yardstick for the engine and the builder of small unitaries.

Every gate is one tensor contraction; gradients are automatic differentiation through all of
them. Nothing is fused, so nothing is clever enough to be wrong.
"""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from fedket.quantum.circuit import Circuit, Gate
from fedket.quantum.gates import GATES


def apply_gate(
    gate: Complex[Array, "dim dim"], psi: Complex[Array, "..."], qubits: tuple[int, ...]
) -> Complex[Array, "..."]:
    """Apply a k-qubit gate to some qubits of a pure state.

    Args:
        gate: Unitary, shape (2**k, 2**k); the first qubit is the most significant.
        psi: State, shape (2,) * num_qubits + (batch axes); qubit q is axis q.
        qubits: The k axes to act on.

    Returns:
        The new state, same shape as `psi`.
    """
    k = len(qubits)
    tensor = gate.reshape((2,) * (2 * k))
    psi = jnp.tensordot(tensor, psi, axes=(tuple(range(k, 2 * k)), qubits))
    return jnp.moveaxis(psi, tuple(range(k)), qubits)


def gate_matrix(gate: Gate, angles: Float[Array, "*batch slots"]) -> Array:
    """Matrix of a gate with its angles taken from a layer's slots, shape (*batch, 2**k, 2**k)."""
    matrix = GATES[gate.name].matrix(*(angles[..., slot] for slot in gate.slots))
    return matrix.astype(jnp.result_type(angles.dtype, jnp.complex64))


def reference_run(
    circuit: Circuit, params: Float[Array, "layers slots"], psi: Complex[Array, "dim batch"]
) -> Complex[Array, "dim batch"]:
    """Apply a circuit gate by gate.

    Args:
        circuit: The circuit.
        params: Angles in radians, shape `circuit.params_shape`.
        psi: States as columns, shape (2**num_qubits, batch).

    Returns:
        The final states, same shape.
    """
    shape = psi.shape
    psi = psi.reshape((2,) * circuit.num_qubits + shape[1:])
    for angles in params:
        for gate in circuit.layer:
            psi = apply_gate(gate_matrix(gate, angles), psi, gate.qubits)
    return psi.reshape(shape)
