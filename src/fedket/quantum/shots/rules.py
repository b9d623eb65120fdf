"""Parameter-shift rules: derivatives of a circuit's values from values at other angles.

As a function of one gate's angle a value is a trigonometric polynomial, whose frequencies are the
gaps between eigenvalues of the gate's generator. A gap of 1 alone takes two shifts
(arXiv:1811.11184), gaps of 1/2 and 1, as of controlled rotations, four (arXiv:2104.05695).
"""

from functools import lru_cache
from math import pi, sqrt
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fedket.errors import CircuitError
from fedket.quantum.circuit import Circuit, Gate
from fedket.quantum.gates import GATES


class ShiftRule(NamedTuple):
    """df/dθ = Σ_t factors[t] · f(θ + shifts[t]), shifts in radians."""

    shifts: tuple[float, ...]
    factors: tuple[float, ...]


TWO_TERMS = ShiftRule((pi / 2, -pi / 2), (0.5, -0.5))

_NEAR, _FAR = (sqrt(2) + 1) / (4 * sqrt(2)), (sqrt(2) - 1) / (4 * sqrt(2))

FOUR_TERMS = ShiftRule((pi / 2, -pi / 2, 1.5 * pi, -1.5 * pi), (_NEAR, -_NEAR, -_FAR, _FAR))

RULES = {(1.0,): TWO_TERMS, (0.5, 1.0): FOUR_TERMS}
"""Gaps of a generator -> rule."""


def shift_rules(circuit: Circuit) -> dict[ShiftRule, tuple[int, ...]]:
    """Rules that a circuit needs, and the slots of each.

    Args:
        circuit: A circuit whose slots serve one gate each, see `with_own_slots`.

    Raises:
        CircuitError: There is no rule for a gate.
    """
    found: dict[ShiftRule, list[int]] = {}
    for gate in circuit.layer:
        for place, slot in enumerate(gate.slots):
            found.setdefault(_rule(gate.name, place), []).append(slot)
    return {rule: tuple(slots) for rule, slots in found.items()}


def num_shifts(circuit: Circuit) -> int:
    """Shifted circuits of one gradient, layers included."""
    angles = [(gate.name, place) for gate in circuit.layer for place in range(len(gate.slots))]
    return circuit.num_layers * sum(len(_rule(*angle).shifts) for angle in angles)


def with_own_slots(circuit: Circuit) -> tuple[Circuit, tuple[int, ...]]:
    """The circuit with a slot for every gate's angle, and the slot that each was before."""
    gates: list[Gate] = []
    before: list[int] = []
    for gate in circuit.layer:
        slots = tuple(range(len(before), len(before) + len(gate.slots)))
        before += gate.slots
        gates.append(Gate(gate.name, gate.qubits, slots))
    return Circuit(circuit.num_qubits, tuple(gates), circuit.num_layers), tuple(before)


@lru_cache(maxsize=64)
def _rule(name: str, place: int) -> ShiftRule:
    """Rule of one of a gate's angles, by the gaps of its generator −i (∂U) U†."""
    with jax.ensure_compile_time_eval():
        angles = tuple(jnp.asarray(0.3 * (1 + i)) for i in range(GATES[name].num_angles))
        turn = tuple(jnp.asarray(float(i == place)) for i in range(len(angles)))
        unitary, derivative = jax.jvp(GATES[name].matrix, angles, turn)
        generator = np.asarray(-1j * derivative @ unitary.conj().T)
    levels = np.linalg.eigvalsh((generator + generator.conj().T) / 2)
    gaps = np.unique(np.round(np.abs(levels[:, None] - levels[None]), 3))
    rule = RULES.get(tuple(gaps[gaps > 0].tolist()))
    if rule is None:
        raise CircuitError(
            f'no parameter-shift rule is known for {name}; use shots.gradient = "spsa" or "adjoint"'
        )
    return rule
