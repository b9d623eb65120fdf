"""A trained circuit as a Qiskit `QuantumCircuit`."""

from typing import Any

from qiskit.circuit import ParameterVector

from fedket.bridges.export.trained import TrainedCircuit
from fedket.bridges.expressions import Angle, Symbol
from fedket.bridges.qiskit.write import write_circuit
from fedket.quantum.circuit import Gate


def to_qiskit(circuit: TrainedCircuit) -> Any:
    """The circuit: features are the parameters `x[0]`, `x[1]`, …; notes are its metadata."""
    x = ParameterVector("x", circuit.num_features)

    def value(angle: Angle) -> Any:
        return angle.constant + sum(factor * of(symbol) for symbol, factor in angle.terms)

    def of(symbol: Symbol) -> Any:
        if symbol.name == "feature":
            return x[symbol.place]
        given = [value(argument) for argument in symbol.arguments]
        match symbol.name:
            case "*":
                return given[0] * given[1]
            case "/":
                return given[0] / given[1]
            case "**":
                return given[0] ** given[1]
            case "sqrt":
                return given[0] ** 0.5
        return getattr(given[0], symbol.name)()

    gates = [
        (Gate(name, qubits), tuple(map(value, angles)))
        for name, qubits, angles in circuit.operations
    ]
    written = write_circuit(circuit.num_qubits, gates)
    written.metadata = {"notes": list(circuit.notes), "observables": list(circuit.strings)}
    return written
