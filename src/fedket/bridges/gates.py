"""Gates of OpenQASM's `stdgates.inc`, Qiskit and PennyLane, as gates of the engine.

Equal up to a global phase, which no measurement shows. Names are those of OpenQASM and Qiskit.
"""

from collections.abc import Callable
from math import pi
from typing import NamedTuple

from fedket.bridges.expressions import Angle
from fedket.bridges.program import Operation

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


def _cx(control: int, target: int) -> tuple[str, tuple[int, ...], tuple[()]]:
    return "CNOT", (control, target), ()


def _rzz(theta: Angle) -> Steps:
    return [_cx(0, 1), _on(1, "RZ", theta), _cx(0, 1)]


def _rxx(theta: Angle) -> Steps:
    return [_h(0), _h(1), *_rzz(theta), _h(0), _h(1)]


def _ryy(theta: Angle) -> Steps:
    into = [_on(place, "RX", pi / 2) for place in (0, 1)]
    back = [_on(place, "RX", -pi / 2) for place in (0, 1)]
    return [*into, *_rzz(theta), *back]


def _rzx(theta: Angle) -> Steps:
    return [_h(1), *_rzz(theta), _h(1)]


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


def _ccx() -> Steps:
    """Nielsen and Chuang, figure 4.9."""
    t, back = pi / 4, -pi / 4
    return [
        _h(2),
        _cx(1, 2),
        _on(2, "RZ", back),
        _cx(0, 2),
        _on(2, "RZ", t),
        _cx(1, 2),
        _on(2, "RZ", back),
        _cx(0, 2),
        _on(1, "RZ", t),
        _on(2, "RZ", t),
        _h(2),
        _cx(0, 1),
        _on(0, "RZ", t),
        _on(1, "RZ", back),
        _cx(0, 1),
    ]


def _ecr() -> Steps:
    return [*_rzx(Angle(pi / 4)), ("X", (0,), ()), *_rzx(Angle(-pi / 4))]


def _iswap() -> Steps:
    s = [_on(place, "RZ", pi / 2) for place in (0, 1)]
    return [*s, _h(0), _cx(0, 1), _cx(1, 0), _h(1)]


def _u2(phi: Angle, lam: Angle) -> Steps:
    return [("U3", (0,), (Angle(pi / 2), phi, lam))]


_PHASE = ForeignGate(1, 1, lambda lam: [_on(0, "RZ", lam)])
_CPHASE = ForeignGate(2, 1, lambda lam: _cu3(Angle(), Angle(), lam))
_U3, _CNOT = _native("U3", 1, 3), _native("CNOT", 2, 0)

FOREIGN: dict[str, ForeignGate] = {
    "id": ForeignGate(1, 0, list),
    "x": _native("X", 1, 0),
    "y": _turns(("RY", pi)),
    "z": _turns(("RZ", pi)),
    "h": _native("H", 1, 0),
    "s": _turns(("RZ", pi / 2)),
    "sdg": _turns(("RZ", -pi / 2)),
    "t": _turns(("RZ", pi / 4)),
    "tdg": _turns(("RZ", -pi / 4)),
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
    "cy": ForeignGate(2, 0, lambda: [_on(1, "RZ", -pi / 2), _cx(0, 1), _on(1, "RZ", pi / 2)]),
    "cz": _native("CZ", 2, 0),
    "ch": _fixed_cu(pi / 2, 0.0, pi),
    "cs": _fixed_cu(0.0, 0.0, pi / 2),
    "csdg": _fixed_cu(0.0, 0.0, -pi / 2),
    "csx": _fixed_cu(pi / 2, -pi / 2, pi / 2, pi / 4),
    "swap": _native("SWAP", 2, 0),
    "iswap": ForeignGate(2, 0, _iswap),
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
    "rxx": ForeignGate(2, 1, _rxx),
    "ryy": ForeignGate(2, 1, _ryy),
    "rzz": ForeignGate(2, 1, _rzz),
    "rzx": ForeignGate(2, 1, _rzx),
    "ccx": ForeignGate(3, 0, _ccx),
    "cswap": ForeignGate(3, 0, lambda: [_cx(2, 1), *_ccx(), _cx(2, 1)]),
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


def invert(operations: list[Operation]) -> list[Operation]:
    """The gates that undo some."""
    return [_inverse(operation) for operation in reversed(operations)]


def _inverse(operation: Operation) -> Operation:
    name, qubits, angles = operation
    if not angles:
        return operation  # H, X, CNOT, CZ and SWAP undo themselves
    negative = tuple(angle.times(-1.0) for angle in angles)
    if len(angles) == 1:
        return Operation(name, qubits, negative)
    first, second, third = negative
    if name == "Rot":
        return Operation(name, qubits, (third, second, first))
    return Operation(name, qubits, (first, third, second))  # U3(θ, φ, λ)⁻¹ = U3(−θ, −λ, −φ)
