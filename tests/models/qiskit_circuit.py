"""A Qiskit circuit with features in the middle and a shared weight."""

from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector


def reuploading():
    """Three features, five weights."""
    x, w = ParameterVector("x", 3), ParameterVector("w", 5)
    circuit = QuantumCircuit(3)
    for layer in range(2):
        for qubit in range(3):
            circuit.ry(x[qubit], qubit)
        circuit.cx(0, 1)
        circuit.rx(w[2 * layer], 0)
        circuit.crx(w[2 * layer + 1], 1, 2)
        circuit.rx(w[4] * x[1], 1)
        circuit.cx(2, 0)
    return circuit
