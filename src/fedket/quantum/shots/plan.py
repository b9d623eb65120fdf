"""What finite shots cost, and how they are simulated, in words."""

from typing import NamedTuple

from fedket.quantum.measurement import Measurement
from fedket.quantum.noise.model import MAX_EXACT_QUBITS
from fedket.quantum.shots.rules import num_shifts
from fedket.quantum.shots.sampling import TREE_OUTCOMES, TREE_SHOTS, uses_tree
from fedket.quantum.shots.settings import Shots


class ShotPlan(NamedTuple):
    """Finite shots of a model.

    Attributes:
        shots: What was asked for.
        circuits: Circuits of one gradient as hardware would run them, for each sample.
        shared: Whether all samples of a batch share these circuits.
        method: How they are simulated, and why so.
    """

    shots: Shots
    circuits: int
    method: str
    shared: bool = False


def plan_shots(m: Measurement, shots: Shots) -> ShotPlan:
    """Count and describe.

    Args:
        m: What is run and read.
        shots: What was asked for.

    Raises:
        CircuitError: A gate has no shift rule.
    """
    others = {"adjoint": 0, "spsa": 2}
    if shots.gradient == "parameter_shift":
        circuits = 1 + num_shifts(m.circuit)
    else:
        circuits = 1 + others[shots.gradient]
    return ShotPlan(shots, circuits, "; ".join((_sampling(m, shots), _gradient(m, shots))))


def _sampling(m: Measurement, shots: Shots) -> str:
    if not shots.training:
        return "values are those of infinitely many shots"
    if uses_tree(2**m.circuit.num_qubits, shots.training):
        return (
            "counts are drawn by a tree of binomials, at a cost that does not grow with the shots"
        )
    return (
        "counts are drawn shot by shot (a tree of binomials serves "
        f"{TREE_OUTCOMES.bit_length() - 1} qubits or fewer and {TREE_SHOTS:,} shots or more)"
    )


def _gradient(m: Measurement, shots: Shots) -> str:
    if shots.gradient == "adjoint":
        return "derivatives are exact"
    if shots.gradient == "spsa":
        return "both shifted circuits are simulated"
    if m.exact:
        return (
            f"all shifted values come from one pass ({MAX_EXACT_QUBITS} qubits or fewer), and are "
            "drawn independently of each other"
        )
    return f"every shifted circuit is simulated (more than {MAX_EXACT_QUBITS} qubits): slow"
