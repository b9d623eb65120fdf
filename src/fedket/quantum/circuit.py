"""A circuit is data: one layer of gates with parameter slots, repeated.

Qubit 0 is the most significant bit of a basis index. Parameters of a circuit are one array of
angles in radians, shape (num_layers, num_slots); a gate names the columns (slots) it reads.
"""

from collections.abc import Sequence
from typing import NamedTuple

from fedket.errors import CircuitError, meant
from fedket.quantum.composites import ALIASES, COMPOSITES, Composite
from fedket.quantum.gates import GATES, GateKind

GateTuple = tuple[str, *tuple[int, ...]]
"""A gate as users write it: name, then qubits."""


class Gate(NamedTuple):
    """One gate of a layer.

    Attributes:
        name: A key of `fedket.quantum.gates.GATES`.
        qubits: Qubits it acts on; the control comes first.
        slots: Columns of the parameter array it takes its angles from.
    """

    name: str
    qubits: tuple[int, ...]
    slots: tuple[int, ...] = ()


class Circuit(NamedTuple):
    """A layer of gates, applied `num_layers` times with new angles each time."""

    num_qubits: int
    layer: tuple[Gate, ...]
    num_layers: int

    @property
    def num_slots(self) -> int:
        """Angles per layer."""
        return 1 + max((slot for gate in self.layer for slot in gate.slots), default=-1)

    @property
    def params_shape(self) -> tuple[int, int]:
        """Shape of the parameter array: (num_layers, num_slots)."""
        return self.num_layers, self.num_slots

    @property
    def num_params(self) -> int:
        """Number of trainable angles."""
        return self.num_layers * self.num_slots


def make_circuit(num_qubits: int, gates: Sequence[GateTuple], num_layers: int) -> Circuit:
    """Build a circuit from (name, qubit, ...) tuples; every angle gets a slot of its own.

    Args:
        num_qubits: Number of qubits, at least 1.
        gates: For example `[("RY", 0), ("CNOT", 0, 1)]`, in the order of application; names of
            `GATES`, or of `ALIASES` and `COMPOSITES`, which become gates of `GATES`.
        num_layers: How often the layer is repeated, at least 1.

    Raises:
        CircuitError: If a gate is unknown or its qubits are not distinct and in range.
    """
    layer: list[Gate] = []
    next_slot = 0
    for given, *qubits in gates:
        name = ALIASES.get(given, given)
        kind = COMPOSITES.get(name) or _kind(name)
        slots = tuple(range(next_slot, next_slot + kind.num_angles))
        next_slot += kind.num_angles
        gate = Gate(name, tuple(qubits), slots)
        _check_gate(gate, kind, num_qubits)
        layer += _parts(gate)
    circuit = Circuit(num_qubits, tuple(layer), num_layers)
    check_circuit(circuit)
    return circuit


def _parts(gate: Gate) -> list[Gate]:
    """Gates of the engine that a gate consists of."""
    if gate.name not in COMPOSITES:
        return [gate]
    return [
        Gate(name, tuple(gate.qubits[p] for p in places), tuple(gate.slots[a] for a in angles))
        for name, places, angles in COMPOSITES[gate.name].steps
    ]


def check_circuit(circuit: Circuit) -> None:
    """Raise `CircuitError` unless every gate fits the register and its kind."""
    if circuit.num_qubits < 1 or circuit.num_layers < 1:
        raise CircuitError(
            f"a circuit needs at least 1 qubit and 1 layer, got {circuit.num_qubits} and "
            f"{circuit.num_layers}"
        )
    for gate in circuit.layer:
        _check_gate(gate, _kind(gate.name), circuit.num_qubits)


def _kind(name: str) -> GateKind:
    if (kind := GATES.get(name)) is None:
        known = [*GATES, *COMPOSITES, *ALIASES]
        raise CircuitError(f"unknown gate `{name}`{meant(name, known)} (known: {', '.join(known)})")
    return kind


def _check_gate(gate: Gate, kind: GateKind | Composite, num_qubits: int) -> None:
    if len(gate.qubits) != kind.num_qubits or len(set(gate.qubits)) != kind.num_qubits:
        raise CircuitError(
            f"{gate.name} acts on {kind.num_qubits} distinct qubits, got {gate.qubits}"
        )
    if not all(0 <= qubit < num_qubits for qubit in gate.qubits):
        raise CircuitError(f"{gate.name} on {gate.qubits}: qubits go from 0 to {num_qubits - 1}")
    if len(gate.slots) != kind.num_angles:
        raise CircuitError(f"{gate.name} takes {kind.num_angles} angles, got {len(gate.slots)}")
