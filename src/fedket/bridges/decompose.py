"""A program whose angles all obey the two-term parameter-shift rule, as hardware needs it.

∂f/∂θ = [f(θ + π/2) − f(θ − π/2)] / 2 holds for RX, RY, RZ, and for each angle of Rot and U3;
controlled rotations become these and CNOTs.
"""

from fedket.bridges.expressions import Angle
from fedket.bridges.program import Operation


def without_controlled_angles(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """The same circuit, up to a global phase, without CRX, CRY, CRZ and CU3."""
    return tuple(part for operation in operations for part in _parts(operation))


def _parts(operation: Operation) -> list[Operation]:
    name, qubits, angles = operation
    if name in ("CRX", "CRY", "CRZ"):
        return _controlled_rotation(name, qubits, angles[0])
    if name == "CU3":
        return _controlled_u3(qubits, *angles)
    return [operation]


def _controlled_rotation(name: str, qubits: tuple[int, ...], theta: Angle) -> list[Operation]:
    """Half the angle, and its inverse between CNOTs, which turn it round; H makes X of Z."""
    target, cnot = qubits[1:], Operation("CNOT", qubits)
    axis = "RY" if name == "CRY" else "RZ"
    steps = [
        Operation(axis, target, (theta.times(0.5),)),
        cnot,
        Operation(axis, target, (theta.times(-0.5),)),
        cnot,
    ]
    turn = [Operation("H", target)] if name == "CRX" else []
    return [*turn, *steps, *turn]


def _controlled_u3(
    qubits: tuple[int, ...], theta: Angle, phi: Angle, lam: Angle
) -> list[Operation]:
    """As Qiskit's `CU3Gate` defines it."""
    (control, target), cnot = qubits, Operation("CNOT", qubits)
    total, difference = phi.plus(lam).times(0.5), lam.plus(phi.times(-1.0)).times(0.5)
    return [
        Operation("RZ", (control,), (total,)),
        Operation("RZ", (target,), (difference,)),
        cnot,
        Operation("U3", (target,), (theta.times(-0.5), Angle(), total.times(-1.0))),
        cnot,
        Operation("U3", (target,), (theta.times(0.5), phi, Angle())),
    ]
