"""Gates that a circuit may name and the engine takes apart, against their matrices."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from fedket.errors import CircuitError
from fedket.quantum.circuit import make_circuit
from fedket.quantum.composites import ALIASES, COMPOSITES
from fedket.quantum.gates import GATES
from fedket.quantum.reference import reference_run

X, Y, Z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
ANGLE = 0.7


def _controlled(gate: np.ndarray) -> np.ndarray:
    size = len(gate)
    return np.block([[np.eye(size), np.zeros((size, size))], [np.zeros((size, size)), gate]])


SWAP = np.eye(4)[[0, 2, 1, 3]]
MATRICES = {
    "Y": Y,
    "Z": Z,
    "S": np.diag([1, 1j]),
    "SDG": np.diag([1, -1j]),
    "T": np.diag([1, np.exp(0.25j * np.pi)]),
    "TDG": np.diag([1, np.exp(-0.25j * np.pi)]),
    "P": np.diag([1, np.exp(1j * ANGLE)]),
    "CX": _controlled(X),
    "CY": _controlled(Y),
    "RXX": expm(-0.5j * ANGLE * np.kron(X, X)),
    "RYY": expm(-0.5j * ANGLE * np.kron(Y, Y)),
    "RZZ": expm(-0.5j * ANGLE * np.kron(Z, Z)),
    "ISWAP": np.diag([1, 1j, 1j, 1]) @ SWAP,
    "CCX": _controlled(_controlled(X)),
    "CSWAP": _controlled(SWAP),
}


@pytest.mark.parametrize("name", MATRICES)
def test_gates_have_their_matrices_up_to_a_phase(name):
    matrix = MATRICES[name]
    num_qubits = len(matrix).bit_length() - 1
    circuit = make_circuit(num_qubits, [(name, *range(num_qubits))], 1)
    angles = jnp.full(circuit.params_shape, ANGLE)
    found = np.asarray(reference_run(circuit, angles, jnp.eye(len(matrix)) + 0j))
    phase = np.vdot(matrix, found) / len(matrix)
    assert abs(phase) == pytest.approx(1)
    np.testing.assert_allclose(found, phase * matrix, atol=1e-6)


def test_every_composite_is_compared_and_every_alias_is_a_gate():
    assert set(COMPOSITES) <= set(MATRICES)
    assert set(ALIASES.values()) <= {*GATES, *COMPOSITES}
    assert not {*ALIASES} & {*GATES, *COMPOSITES}


def test_angles_keep_the_order_of_the_gates():
    gates = [("RX", 0), ("RZZ", 0, 1), ("P", 1)]
    assert [gate.slots for gate in make_circuit(2, gates, 1).layer] == [(0,), (), (1,), (), (2,)]


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (("CNOTT", 0, 1), "unknown gate `CNOTT`; did you mean `CNOT`?"),
        (("CCX", 0, 1), "CCX acts on 3 distinct qubits"),
        (("CCX", 0, 1, 3), "CCX on .* qubits go from 0 to 2"),
    ],
)
def test_wrong_gates_are_named_as_they_were_written(gate, said):
    with pytest.raises(CircuitError, match=said):
        make_circuit(3, [gate], 1)
