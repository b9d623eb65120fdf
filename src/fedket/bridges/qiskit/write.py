"""Gates of the engine as a `QuantumCircuit`."""

from collections.abc import Sequence
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import library

from fedket.quantum.circuit import Gate

GATES: dict[str, Any] = {
    "RX": library.RXGate,
    "RY": library.RYGate,
    "RZ": library.RZGate,
    "U3": library.UGate,
    "H": library.HGate,
    "X": library.XGate,
    "Y": library.YGate,
    "Z": library.ZGate,
    "S": library.SGate,
    "SDG": library.SdgGate,
    "T": library.TGate,
    "TDG": library.TdgGate,
    "CNOT": library.CXGate,
    "CZ": library.CZGate,
    "SWAP": library.SwapGate,
    "CRX": library.CRXGate,
    "CRY": library.CRYGate,
    "CRZ": library.CRZGate,
    "CU3": library.CU3Gate,
}


def write_circuit(num_qubits: int, gates: Sequence[tuple[Gate, tuple[Any, ...]]]) -> QuantumCircuit:
    """A circuit of gates, each with its angles: numbers or Qiskit's parameters."""
    circuit = QuantumCircuit(num_qubits, name="fedket")
    for gate, angles in gates:
        if gate.name == "Rot":
            alpha, beta, gamma = angles
            circuit.rz(alpha, gate.qubits[0])
            circuit.ry(beta, gate.qubits[0])
            circuit.rz(gamma, gate.qubits[0])
        else:
            circuit.append(GATES[gate.name](*angles), list(gate.qubits))
    return circuit
