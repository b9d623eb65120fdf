"""A trained circuit: gates whose angles are numbers, or functions of the sample's features."""

from typing import NamedTuple

import numpy as np

from fedket.bridges.expressions import Angle, Symbol, call, feature, weight
from fedket.bridges.program import CircuitProgram, Operation
from fedket.errors import CircuitError
from fedket.quantum.circuit import Circuit


class TrainedCircuit(NamedTuple):
    """What is written.

    Attributes:
        num_qubits: Qubits.
        operations: Gates; no angle reads a weight.
        num_features: Features that angles read.
        strings: Pauli strings whose values are read, in the order of classes; empty for the
            probabilities of the first basis states.
        notes: What a reader of the file must know, a sentence each.
    """

    num_qubits: int
    operations: tuple[Operation, ...]
    num_features: int
    strings: tuple[str, ...]
    notes: tuple[str, ...]


def program_of(circuit: Circuit, encoding: str) -> CircuitProgram:
    """One of fedket's circuits, gate by gate; weights in the order of `circuit.params_shape`.

    Args:
        circuit: The circuit.
        encoding: As of `vqc`; `amplitude` and `state` are no gates and left to the reader.
    """
    operations = _encoding(encoding, circuit.num_qubits)
    num_features = circuit.num_qubits if operations else 0
    for layer in range(circuit.num_layers):
        for name, qubits, slots in circuit.layer:
            angles = tuple(weight(layer * circuit.num_slots + slot) for slot in slots)
            operations.append(Operation(name, qubits, angles))
    return CircuitProgram(circuit.num_qubits, tuple(operations), circuit.num_params, num_features)


def reuploaded_program(circuit: Circuit, num_features: int) -> CircuitProgram:
    """A circuit of `fedket.models.reuploading`; weights are all its angles, then all scales."""
    own, num_qubits = program_of(circuit, "inputs").operations, circuit.num_qubits
    operations: list[Operation] = []
    for layer in range(circuit.num_layers):
        for i in range(num_features):
            scale = weight(circuit.num_params + layer * num_features + i)
            turn = "RZ" if i // num_qubits % 2 else "RY"
            operations.append(Operation(turn, (i % num_qubits,), (call("*", scale, feature(i)),)))
        operations += own[layer * len(circuit.layer) : (layer + 1) * len(circuit.layer)]
    num_weights = circuit.num_params + circuit.num_layers * num_features
    return CircuitProgram(num_qubits, tuple(operations), num_weights, num_features)


def _encoding(encoding: str, num_qubits: int) -> list[Operation]:
    if encoding == "angle":
        return [Operation("RY", (q,), (feature(q),)) for q in range(num_qubits)]
    if encoding != "arctan":
        return []
    gates = []
    for qubit in range(num_qubits):
        x = feature(qubit)
        gates.append(Operation("RY", (qubit,), (call("arctan", x),)))
        gates.append(Operation("RZ", (qubit,), (call("arctan", call("*", x, x)),)))
    return gates


def bind_weights(program: CircuitProgram, weights: np.ndarray) -> tuple[Operation, ...]:
    """Gates with their weights as numbers.

    Raises:
        CircuitError: Angles are worked out by the circuit's own program, not by formulas.
    """

    def bound(angle: Angle) -> Angle:
        total = Angle(angle.constant)
        for symbol, coefficient in angle.terms:
            total = total.plus(value(symbol).times(coefficient))
        return total

    def value(symbol: Symbol) -> Angle:
        if symbol.name == "weight":
            return Angle(float(weights[symbol.place]))
        if symbol.name == "feature":
            return feature(symbol.place)
        if symbol.name == "traced":
            raise CircuitError(
                "angles are worked out in Python, so that no formula can be written down; keep the "
                "circuit's own file and the run's model.safetensors"
            )
        return call(symbol.name, *map(bound, symbol.arguments))

    return tuple(o._replace(angles=tuple(map(bound, o.angles))) for o in program.operations)
