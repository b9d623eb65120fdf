"""The circuits of the four papers as PennyLane writes them."""

import pennylane as qml

from tests.bridges.papers import CIRCUITS

GATES = {
    **{name: getattr(qml, name) for name in ("RX", "RY", "RZ", "Rot", "U3", "CNOT", "CZ")},
    "CU3": lambda *angles, wires: qml.ctrl(qml.U3(*angles, wires=wires[1]), control=wires[0]),
}


def qnode_of(name, device="lightning.qubit", encode=None):
    """The QNode of a paper's circuit; amplitudes enter unless `encode` says otherwise."""
    circuit = CIRCUITS[name]

    @qml.qnode(qml.device(device, wires=circuit.num_qubits))
    def node(inputs, weights):
        if encode is None:
            qml.AmplitudeEmbedding(inputs, wires=range(circuit.num_qubits), normalize=True)
        else:
            encode(inputs)
        for layer in range(circuit.num_layers):
            for gate in circuit.layer:
                angles = [weights[layer, slot] for slot in gate.slots]
                GATES[gate.name](*angles, wires=list(gate.qubits))
        return [qml.expval(qml.PauliZ(q)) for q in range(3)]

    return node


def arctan_encoding(inputs):
    """Chen and Yoo's, in functions that JAX can trace."""
    for qubit in range(4):
        qml.RY(qml.math.arctan(inputs[qubit]), wires=qubit)
        qml.RZ(qml.math.arctan(inputs[qubit] ** 2), wires=qubit)
