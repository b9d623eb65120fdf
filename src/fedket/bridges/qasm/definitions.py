"""Gates that a file defines itself, each as one gate of the engine if it is equal to one.

A definition usually spells out a gate that the engine has, such as `cu3`, in five others. Whether
its name says the truth is worked out at random angles.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from openqasm3 import ast

from fedket.bridges.expressions import weight
from fedket.bridges.gates import FOREIGN, ForeignGate, expand_gate
from fedket.bridges.program import Operation
from fedket.quantum.gates import GATES

TOLERANCE = 1e-5
"""Of a matrix's entries, which are worked out in the precision that JAX is set to."""


class Definition(NamedTuple):
    """A `gate` statement.

    Attributes:
        node: As written.
        equal_to: The gate of the same name, if this is another way to write it; else None.
    """

    node: ast.QuantumGateDefinition
    equal_to: ForeignGate | None


def same_gate(name: str, num_qubits: int, num_angles: int, body: list[Operation]) -> bool:
    """Whether a definition does what fedket knows under its name, up to a global phase.

    Args:
        name: What is defined.
        num_qubits: Its qubits.
        num_angles: Its angles.
        body: What it does on the qubits 0, 1, …, the angles being the weights 0, 1, ….
    """
    known = FOREIGN.get(name)
    if known is None or (known.num_qubits, known.num_angles) != (num_qubits, num_angles):
        return False
    angles = tuple(map(weight, range(num_angles)))
    ours = expand_gate(name, tuple(range(num_qubits)), angles)
    values = np.random.default_rng(0).uniform(-3, 3, num_angles)
    if any(s.name != "weight" for o in body for a in o.angles for s, _ in a.terms):
        return False
    left, right = (_unitary(operations, num_qubits, values) for operations in (ours, body))
    overlap = np.vdot(right, left)
    return bool(overlap and np.abs(left - right * overlap / abs(overlap)).max() < TOLERANCE)


def _unitary(operations: list[Operation], num_qubits: int, weights: np.ndarray) -> np.ndarray:
    """The matrix of a few gates, their angles sums of weights; nothing compiles."""
    unitary = np.eye(2**num_qubits, dtype=np.complex128).reshape((2,) * num_qubits + (-1,))
    for name, qubits, angles in operations:
        values = [
            jnp.asarray(a.constant + sum(c * weights[s.place] for s, c in a.terms)) for a in angles
        ]
        matrix = np.asarray(GATES[name].matrix(*values), np.complex128)
        k = len(qubits)
        tensor = matrix.reshape((2,) * (2 * k))
        unitary = np.tensordot(tensor, unitary, axes=(tuple(range(k, 2 * k)), qubits))
        unitary = np.moveaxis(unitary, tuple(range(k)), qubits)
    return unitary
