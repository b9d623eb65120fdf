"""A trained circuit as a Python file with a PennyLane QNode."""

from fedket.bridges.export.formulas import angle_text
from fedket.bridges.export.trained import TrainedCircuit
from fedket.bridges.program import Operation

NAMES = {"H": "Hadamard", "X": "PauliX", "Y": "PauliY", "Z": "PauliZ"}
ADJOINTS = {"SDG": "S", "TDG": "T"}
FUNCTIONS = {
    name: f"qml.math.{name}"
    for name in ("arccos", "arcsin", "arctan", "cos", "exp", "log", "sin", "sqrt", "tan")
}


def to_pennylane(circuit: TrainedCircuit) -> str:
    """The text: `circuit(inputs)`, features as a vector, an expectation value for each class."""
    notes = "\n".join(circuit.notes)
    argument = "inputs" if circuit.num_features else ""
    body = "\n".join(f"    {_statement(operation)}" for operation in circuit.operations)
    return f'''"""{notes}"""

import pennylane as qml


@qml.qnode(qml.device("default.qubit", wires={circuit.num_qubits}))
def circuit({argument}):
{body}
    return {_returned(circuit)}
'''


def _statement(operation: Operation) -> str:
    name, qubits, angles = operation
    texts = [angle_text(angle, "inputs[{}]", FUNCTIONS) for angle in angles]
    if name == "CU3":
        return f"qml.ctrl(qml.U3({', '.join(texts)}, wires={qubits[1]}), control={qubits[0]})"
    if name in ADJOINTS:
        return f"qml.adjoint(qml.{ADJOINTS[name]}(wires={qubits[0]}))"
    wires = f"wires={list(qubits) if len(qubits) > 1 else qubits[0]}"
    return f"qml.{NAMES.get(name, name)}({', '.join([*texts, wires])})"


def _returned(circuit: TrainedCircuit) -> str:
    if not circuit.strings:
        return f"qml.probs(wires=range({circuit.num_qubits}))"
    words = [
        " @ ".join(f"qml.Pauli{factor[0]}({factor[1:]})" for factor in string.split())
        for string in circuit.strings
    ]
    return f"[{', '.join(f'qml.expval({word})' for word in words)}]"
