"""A QNode with features in the middle, one of them multiplied by a weight."""

import pennylane as qml


@qml.qnode(qml.device("default.qubit", wires=3))
def reuploading(inputs, weights):
    """One value, so two classes."""
    for layer in range(2):
        qml.AngleEmbedding(inputs, wires=range(3), rotation="Y")
        qml.CNOT(wires=[0, 1])
        qml.RX(weights[layer, 0] * inputs[1], wires=0)
        qml.RX(weights[layer, 1], wires=1)
        qml.CRX(weights[layer, 2], wires=[1, 2])
        qml.CNOT(wires=[2, 0])
    return qml.expval(qml.PauliZ(0))
