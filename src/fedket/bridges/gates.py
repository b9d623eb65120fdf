"""Gates of OpenQASM's `stdgates.inc`, Qiskit and PennyLane, as gates of the engine.

Equal up to a global phase, which no measurement shows. Names are those of OpenQASM and Qiskit.
"""

from collections.abc import Callable
from math import pi
from typing import NamedTuple

from fedket.bridges.expressions import Angle
from fedket.bridges.program import Operation
from fedket.quantum.composites import COMPOSITES

Steps = list[tuple[str, tuple[int, ...], tuple[Angle, ...]]]


class ForeignGate(NamedTuple):
    """A gate of another language.

    Attributes:
        num_qubits: Qubits it acts on.
        num_angles: Angles it takes.
        expand: Angles -> native name, places among its qubits, angles of each step.
    """

    num_qubits: int
    num_angles: int
    expand: Callable[..., Steps]


def expand_gate(name: str, qubits: tuple[int, ...], angles: tuple[Angle, ...]) -> list[Operation]:
    """A key of `FOREIGN` on some qubits, as gates of the engine."""
    steps = FOREIGN[name].expand(*angles)
    return [Operation(n, tuple(qubits[p] for p in places), given) for n, places, given in steps]


def _native(name: str, num_qubits: int, num_angles: int) -> ForeignGate:
    places = tuple(range(num_qubits))
    return ForeignGate(num_qubits, num_angles, lambda *angles: [(name, places, angles)])


def _turns(*steps: tuple[str, float]) -> ForeignGate:
    """One-qubit rotations by fixed angles."""
    fixed: Steps = [(name, (0,), (Angle(radians),)) for name, radians in steps]
    return ForeignGate(1, 0, lambda: fixed)


def _on(place: int, name: str, angle: Angle | float) -> tuple[str, tuple[int, ...], tuple[Angle]]:
    return name, (place,), (angle if isinstance(angle, Angle) else Angle(angle),)


def _h(place: int) -> tuple[str, tuple[int, ...], tuple[()]]:
    return "H", (place,), ()


def _composite(name: str) -> ForeignGate:
    num_qubits, num_angles, steps = COMPOSITES[name]

    def expand(*angles: Angle) -> Steps:
        return [(step, places, tuple(angles[a] for a in used)) for step, places, used in steps]

    return ForeignGate(num_qubits, num_angles, expand)


def _rzx(theta: Angle) -> Steps:
    return [_h(1), *_composite("RZZ").expand(theta), _h(1)]


def _cu3(theta: Angle, phi: Angle, lam: Angle) -> Steps:
    return [("CU3", (0, 1), (theta, phi, lam))]


def _cu(theta: Angle, phi: Angle, lam: Angle, gamma: Angle) -> Steps:
    return [_on(0, "RZ", gamma), *_cu3(theta, phi, lam)]


def _crot(alpha: Angle, beta: Angle, gamma: Angle) -> Steps:
    # Rot(α, β, γ) = exp(−i(α + γ)/2) U3(β, γ, α).
    phase = alpha.plus(gamma).times(-0.5)
    return [_on(0, "RZ", phase), *_cu3(beta, gamma, alpha)]


def _fixed_cu(theta: float, phi: float, lam: float, gamma: float = 0.0) -> ForeignGate:
    steps = _cu(Angle(theta), Angle(phi), Angle(lam), Angle(gamma))
    return ForeignGate(2, 0, lambda: steps if gamma else steps[1:])


def _ecr() -> Steps:
    return [*_rzx(Angle(pi / 4)), ("X", (0,), ()), *_rzx(Angle(-pi / 4))]


def _u2(phi: Angle, lam: Angle) -> Steps:
    return [("U3", (0,), (Angle(pi / 2), phi, lam))]


_PHASE = ForeignGate(1, 1, lambda lam: [_on(0, "RZ", lam)])
_CPHASE = ForeignGate(2, 1, lambda lam: _cu3(Angle(), Angle(), lam))
_U3, _CNOT = _native("U3", 1, 3), _native("CNOT", 2, 0)

FOREIGN: dict[str, ForeignGate] = {
    "id": ForeignGate(1, 0, list),
    "x": _native("X", 1, 0),
    "y": _native("Y", 1, 0),
    "z": _native("Z", 1, 0),
    "h": _native("H", 1, 0),
    "s": _native("S", 1, 0),
    "sdg": _native("SDG", 1, 0),
    "t": _native("T", 1, 0),
    "tdg": _native("TDG", 1, 0),
    "sx": _turns(("RX", pi / 2)),
    "sxdg": _turns(("RX", -pi / 2)),
    "rx": _native("RX", 1, 1),
    "ry": _native("RY", 1, 1),
    "rz": _native("RZ", 1, 1),
    "rot": _native("Rot", 1, 3),
    "p": _PHASE,
    "phase": _PHASE,
    "u1": _PHASE,
    "u2": ForeignGate(1, 2, _u2),
    "u3": _U3,
    "u": _U3,
    "U": _U3,
    "cx": _CNOT,
    "CX": _CNOT,
    "cy": _composite("CY"),
    "cz": _native("CZ", 2, 0),
    "ch": _fixed_cu(pi / 2, 0.0, pi),
    "cs": _fixed_cu(0.0, 0.0, pi / 2),
    "csdg": _fixed_cu(0.0, 0.0, -pi / 2),
    "csx": _fixed_cu(pi / 2, -pi / 2, pi / 2, pi / 4),
    "swap": _native("SWAP", 2, 0),
    "iswap": _composite("ISWAP"),
    "ecr": ForeignGate(2, 0, _ecr),
    "crx": _native("CRX", 2, 1),
    "cry": _native("CRY", 2, 1),
    "crz": _native("CRZ", 2, 1),
    "crot": ForeignGate(2, 3, _crot),
    "cp": _CPHASE,
    "cphase": _CPHASE,
    "cu1": _CPHASE,
    "cu3": ForeignGate(2, 3, _cu3),
    "cu": ForeignGate(2, 4, _cu),
    "rxx": _composite("RXX"),
    "ryy": _composite("RYY"),
    "rzz": _composite("RZZ"),
    "rzx": ForeignGate(2, 1, _rzx),
    "ccx": _composite("CCX"),
    "cswap": _composite("CSWAP"),
}

CONTROLLED = {
    "x": "cx",
    "y": "cy",
    "z": "cz",
    "h": "ch",
    "s": "cs",
    "sdg": "csdg",
    "sx": "csx",
    "rx": "crx",
    "ry": "cry",
    "rz": "crz",
    "rot": "crot",
    "p": "cp",
    "phase": "cp",
    "u1": "cp",
    "cx": "ccx",
    "swap": "cswap",
}
"""Gate -> the same with a control before its qubits."""

INVERSES = {"s": "sdg", "t": "tdg", "sx": "sxdg", "cs": "csdg"}
INVERSES |= {inverse: name for name, inverse in INVERSES.items()}

UNDONE_BY = {"S": "SDG", "SDG": "S", "T": "TDG", "TDG": "T"}
"""Gates of the engine without angles that do not undo themselves."""


def invert(operations: list[Operation]) -> list[Operation]:
    """The gates that undo some."""
    return [_inverse(operation) for operation in reversed(operations)]


def _inverse(operation: Operation) -> Operation:
    name, qubits, angles = operation
    if not angles:  # all but S and T undo themselves
        return Operation(UNDONE_BY.get(name, name), qubits, ())
    negative = tuple(angle.times(-1.0) for angle in angles)
    if len(angles) == 1:
        return Operation(name, qubits, negative)
    first, second, third = negative
    if name == "Rot":
        return Operation(name, qubits, (third, second, first))
    return Operation(name, qubits, (first, third, second))  # U3(θ, φ, λ)⁻¹ = U3(−θ, −λ, −φ)
