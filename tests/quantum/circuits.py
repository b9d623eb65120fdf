"""Circuits that together reach every gate, every kind of block and every kernel of the engine."""

import numpy as np

from fedket.quantum import ansatz
from fedket.quantum.circuit import Circuit, make_circuit

CIRCUITS: dict[str, Circuit] = {
    "qfedfisher, folded chain, odd": ansatz.qfedfisher(5, 3),
    "qfedfisher, two groups": ansatz.qfedfisher(6, 2),
    "qunetqfl, trailing signs": ansatz.qunetqfl(4, 2),
    "chen_yoo, ring by gather": ansatz.chen_yoo(4, 2),
    "quantum_train, windows": ansatz.quantum_train(6, 2),
    "one qubit": make_circuit(1, [("RX", 0), ("H", 0), ("RZ", 0)], 2),
    "repeated and mixed monomials": make_circuit(
        5,
        [
            *[("CNOT", 0, 1), ("CNOT", 0, 1), ("SWAP", 3, 4), ("CZ", 1, 2), ("H", 1), ("RX", 2)],
            *[("CNOT", 2, 0), ("CZ", 0, 4), ("X", 0), ("U3", 3), ("CNOT", 4, 3), ("RY", 4)],
        ],
        2,
    ),
    "controlled rotations": make_circuit(
        4,
        [
            *[("Rot", 0), ("CRX", 0, 2), ("CRY", 3, 1), ("SWAP", 0, 3), ("RZ", 2)],
            *[("CRZ", 2, 1), ("CU3", 3, 0), ("CNOT", 1, 0), ("X", 2)],
        ],
        2,
    ),
    "far windows": make_circuit(
        7, [("CRX", 0, 6), ("RY", 3), ("CRZ", 5, 2), ("CNOT", 6, 1), ("RX", 4)], 2
    ),
}


def random_inputs(circuit: Circuit, seed: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Angles and normalised states, float64 and complex128."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(-np.pi, np.pi, circuit.params_shape)
    psi = rng.normal(size=(2, 2**circuit.num_qubits, batch))
    psi = psi[0] + 1j * psi[1]
    return angles, psi / np.linalg.norm(psi, axis=0)
