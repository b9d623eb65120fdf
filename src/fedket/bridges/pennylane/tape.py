"""A QNode's gates, read off the tape that it records, as gates of the engine.

Angles stay numbers here: `fedket.bridges.pennylane.probe` finds out what they are functions of.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pennylane as qml

from fedket.bridges.gates import FOREIGN
from fedket.errors import CircuitError, ConfigError

NAMES = {
    "Identity": "id",
    "PauliX": "x",
    "PauliY": "y",
    "PauliZ": "z",
    "Hadamard": "h",
    "S": "s",
    "T": "t",
    "SX": "sx",
    "Adjoint(S)": "sdg",
    "Adjoint(T)": "tdg",
    "Adjoint(SX)": "sxdg",
    "RX": "rx",
    "RY": "ry",
    "RZ": "rz",
    "Rot": "rot",
    "PhaseShift": "p",
    "U1": "u1",
    "U2": "u2",
    "U3": "u3",
    "CNOT": "cx",
    "CY": "cy",
    "CZ": "cz",
    "CH": "ch",
    "SWAP": "swap",
    "ISWAP": "iswap",
    "ECR": "ecr",
    "CRX": "crx",
    "CRY": "cry",
    "CRZ": "crz",
    "CRot": "crot",
    "C(U3)": "cu3",
    "ControlledPhaseShift": "cp",
    "IsingXX": "rxx",
    "IsingYY": "ryy",
    "IsingZZ": "rzz",
    "Toffoli": "ccx",
    "CSWAP": "cswap",
}
NOTHING = {"Barrier", "Snapshot", "GlobalPhase", "WireCut"}
PREPARATIONS = {"StatePrep", "AmplitudeEmbedding"}
MAX_DEPTH = 20
"""Definitions inside each other, until an operation is a gate of the engine."""


class TapeGate(NamedTuple):
    """A gate that fedket knows: a key of `FOREIGN`, its qubits and the numbers it was given."""

    name: str
    qubits: tuple[int, ...]
    angles: tuple[Any, ...]


class Tape(NamedTuple):
    """What a QNode does with one sample.

    Attributes:
        qubits: Wire -> qubit.
        gates: In order.
        preparation: The operation that prepares a state first, or None.
        measurements: What it returns, in order.
    """

    qubits: dict[Any, int]
    gates: tuple[TapeGate, ...]
    preparation: Any
    measurements: tuple[Any, ...]


def record(qnode: Any, arguments: dict[str, Any]) -> Tape:
    """Call a QNode's function without running a device.

    Raises:
        CircuitError: It holds something that is no gate of the engine; one line names it.
        ConfigError: Its device has too few wires.
    """
    script = qml.workflow.construct_tape(qnode, level="user")(**arguments)
    wires = _wires(qnode.device, script)
    qubits = {wire: number for number, wire in enumerate(wires)}
    operations, preparation = list(script.operations), None
    if operations and operations[0].name in PREPARATIONS:
        preparation = operations.pop(0)
    gates = [
        TapeGate(name, tuple(qubits[wire] for wire in places), angles)
        for operation in operations
        for name, places, angles in _gates(operation, MAX_DEPTH)
    ]
    return Tape(qubits, tuple(gates), preparation, tuple(script.measurements))


def _wires(device: Any, script: Any) -> list[Any]:
    """Wires in the order of the device; all of it if a measurement reads all of it."""
    everything = list(device.wires or [])
    used = set(script.wires)
    if everything and not used <= set(everything):
        missing = ", ".join(map(str, sorted(used - set(everything), key=str)))
        raise ConfigError(
            f"device `{device.name}` has {len(everything)} wires, the circuit needs more: {missing}"
        )
    if everything and any(not m.wires and m.obs is None for m in script.measurements):
        return everything
    if everything:
        return [wire for wire in everything if wire in used]
    return sorted(used, key=lambda wire: (str(type(wire)), wire))


def _gates(operation: Any, depth: int) -> Iterator[tuple[str, tuple[Any, ...], tuple[Any, ...]]]:
    name = operation.name
    if name in NOTHING:
        return
    if name in NAMES:
        known = FOREIGN[NAMES[name]]
        yield NAMES[name], tuple(operation.wires), tuple(operation.parameters[: known.num_angles])
        return
    if not depth or name in PREPARATIONS or not getattr(operation, "has_decomposition", False):
        raise CircuitError(f"operation `{name}` is no gate that fedket knows")
    for part in operation.decomposition():
        yield from _gates(part, depth - 1)
