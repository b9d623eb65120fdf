"""A foreign circuit as data: gates of the engine, each angle an expression."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Complex, Float

from fedket.bridges.expressions import Angle

MAX_QUBITS = 24
"""As of fedket's own models."""

MAX_OPERATIONS = 100_000
"""Gates of a circuit; definitions that use each other could otherwise expand without end."""


class Operation(NamedTuple):
    """One gate.

    Attributes:
        name: A key of `fedket.quantum.gates.GATES`.
        qubits: Qubits it acts on; the control comes first.
        angles: Its angles.
    """

    name: str
    qubits: tuple[int, ...]
    angles: tuple[Angle, ...] = ()

    @property
    def of_sample(self) -> bool:
        """Whether it differs from sample to sample."""
        return any(angle.of_sample for angle in self.angles)


class CircuitProgram(NamedTuple):
    """Gates in order, and what they read.

    Attributes:
        num_qubits: Qubits.
        operations: Gates.
        num_weights: Trained numbers.
        num_features: Features that a sample must have; None if only `traced` and `state` know.
        traced: (weights, features) -> values that `traced` symbols stand for; None for none.
        state: (weights, features) -> the state that the gates begin with, shape (2**num_qubits,);
            None for |0…0⟩.
    """

    num_qubits: int
    operations: tuple[Operation, ...]
    num_weights: int
    num_features: int | None
    traced: Callable[[Array, Array], Float[Array, " traced"]] | None = None
    state: Callable[[Array, Array], Complex[Array, " dim"]] | None = None
