"""Gate matrices as functions of their angles.

Conventions: angles in radians; the first qubit of a gate is the most significant bit of its
matrix; RX(θ) = exp(−iθX/2) and likewise RY, RZ; Rot(α, β, γ) = RZ(γ) RY(β) RZ(α);
U3(θ, φ, λ) = [[cos θ/2, −e^{iλ} sin θ/2], [e^{iφ} sin θ/2, e^{i(φ+λ)} cos θ/2]].
"""

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

Angle = Float[Array, "*batch"]
Matrix1 = Complex[Array, "*batch 2 2"]
Matrix2 = Complex[Array, "*batch 4 4"]


def _matrix(entries: list[list[Array]]) -> Array:
    """Stack entries that may carry batch axes into matrices on the last two axes."""
    rows = [jnp.stack(jnp.broadcast_arrays(*row), axis=-1) for row in entries]
    return jnp.stack(jnp.broadcast_arrays(*rows), axis=-2)


def multiply(
    left: Complex[Array, "*#batch rows inner"], right: Complex[Array, "*#batch inner columns"]
) -> Complex[Array, "*batch rows columns"]:
    """Broadcast product of small matrices, written out: XLA would call a GEMM for each of them."""
    terms = (left[..., :, i : i + 1] * right[..., i : i + 1, :] for i in range(left.shape[-1]))
    return reduce(operator.add, terms)


def rx(theta: Angle) -> Matrix1:
    """Rotation about X by `theta` radians."""
    cos, sin = jnp.cos(theta / 2) + 0j, -1j * jnp.sin(theta / 2)
    return _matrix([[cos, sin], [sin, cos]])


def ry(theta: Angle) -> Matrix1:
    """Rotation about Y by `theta` radians."""
    cos, sin = jnp.cos(theta / 2) + 0j, jnp.sin(theta / 2) + 0j
    return _matrix([[cos, -sin], [sin, cos]])


def rz(theta: Angle) -> Matrix1:
    """Rotation about Z by `theta` radians."""
    phase = jnp.exp(0.5j * theta)
    zero = jnp.zeros_like(phase)
    return _matrix([[phase.conj(), zero], [zero, phase]])


def rot(alpha: Angle, beta: Angle, gamma: Angle) -> Matrix1:
    """RZ(gamma) RY(beta) RZ(alpha)."""
    cos, sin = jnp.cos(beta / 2), jnp.sin(beta / 2)
    plus, minus = jnp.exp(0.5j * (alpha + gamma)), jnp.exp(0.5j * (gamma - alpha))
    return _matrix([[plus.conj() * cos, -minus.conj() * sin], [minus * sin, plus * cos]])


def u3(theta: Angle, phi: Angle, lam: Angle) -> Matrix1:
    """General one-qubit gate of the module docstring (OpenQASM 2, Qiskit, TorchQuantum)."""
    cos, sin = jnp.cos(theta / 2) + 0j, jnp.sin(theta / 2) + 0j
    return _matrix(
        [
            [cos, -jnp.exp(1j * lam) * sin],
            [jnp.exp(1j * phi) * sin, jnp.exp(1j * (phi + lam)) * cos],
        ]
    )


def hadamard() -> Matrix1:
    """The Hadamard gate."""
    return jnp.array([[0.5**0.5, 0.5**0.5], [0.5**0.5, -(0.5**0.5)]]) + 0j


def _fixed(*rows: Sequence[int | complex]) -> Callable[[], Matrix1]:
    """A gate without angles."""
    return lambda: jnp.array(rows) + 0j


def _turn(power: int | complex) -> Callable[[], Matrix1]:
    """A phase where the qubit is 1."""
    return _fixed([1, 0], [0, power])


def cnot() -> Matrix2:
    """Flip the second qubit where the first is 1."""
    return jnp.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]) + 0j


def cz() -> Matrix2:
    """Change the sign where both qubits are 1."""
    return jnp.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, -1]]) + 0j


def swap() -> Matrix2:
    """Exchange two qubits."""
    return jnp.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]) + 0j


def controlled(gate: Matrix1) -> Matrix2:
    """Apply a one-qubit gate to the second qubit where the first is 1."""
    zero = jnp.zeros_like(gate)
    one = jnp.broadcast_to(jnp.eye(2, dtype=gate.dtype), gate.shape)
    return jnp.concatenate(
        [jnp.concatenate([one, zero], axis=-1), jnp.concatenate([zero, gate], axis=-1)], axis=-2
    )


class GateKind(NamedTuple):
    """What the engine needs to know of a gate.

    Attributes:
        num_qubits: 1 or 2.
        num_angles: Trainable angles it takes.
        matrix: Angles (each of shape (*batch,)) -> matrices (*batch, 2**k, 2**k).
        monomial: Whether every row has one entry, ±1, so that it only moves or signs amplitudes.
    """

    num_qubits: int
    num_angles: int
    matrix: Callable[..., Array]
    monomial: bool = False


GATES: dict[str, GateKind] = {
    "RX": GateKind(1, 1, rx),
    "RY": GateKind(1, 1, ry),
    "RZ": GateKind(1, 1, rz),
    "Rot": GateKind(1, 3, rot),
    "U3": GateKind(1, 3, u3),
    "H": GateKind(1, 0, hadamard),
    "X": GateKind(1, 0, _fixed([0, 1], [1, 0])),
    "Y": GateKind(1, 0, _fixed([0, -1j], [1j, 0])),
    "Z": GateKind(1, 0, _turn(-1)),
    "S": GateKind(1, 0, _turn(1j)),
    "SDG": GateKind(1, 0, _turn(-1j)),
    "T": GateKind(1, 0, _turn(0.5**0.5 * (1 + 1j))),
    "TDG": GateKind(1, 0, _turn(0.5**0.5 * (1 - 1j))),
    "CNOT": GateKind(2, 0, cnot, monomial=True),
    "CZ": GateKind(2, 0, cz, monomial=True),
    "SWAP": GateKind(2, 0, swap, monomial=True),
    "CRX": GateKind(2, 1, lambda theta: controlled(rx(theta))),
    "CRY": GateKind(2, 1, lambda theta: controlled(ry(theta))),
    "CRZ": GateKind(2, 1, lambda theta: controlled(rz(theta))),
    "CU3": GateKind(2, 3, lambda theta, phi, lam: controlled(u3(theta, phi, lam))),
}
