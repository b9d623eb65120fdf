"""Circuits as data, simulated exactly with adjoint gradients. Pure JAX."""

from fedket.quantum import ansatz, noise
from fedket.quantum.circuit import Circuit, Gate, make_circuit
from fedket.quantum.draw import draw_circuit
from fedket.quantum.encoding import (
    ENCODINGS,
    amplitude_state,
    angle_state,
    arctan_state,
    given_state,
    product_state,
    zero_state,
)
from fedket.quantum.engine import circuit_unitary, run_circuit
from fedket.quantum.memory import check_memory, gradient_bytes
from fedket.quantum.per_sample import per_sample_vjp
from fedket.quantum.readout import expval, expval_parity, probabilities
from fedket.quantum.reference import reference_run
from fedket.quantum.resources import (
    concentratable_entanglement,
    pauli_averages,
    stabilizer_entropy,
)

__all__ = [
    "ENCODINGS",
    "Circuit",
    "Gate",
    "amplitude_state",
    "angle_state",
    "ansatz",
    "arctan_state",
    "check_memory",
    "circuit_unitary",
    "concentratable_entanglement",
    "draw_circuit",
    "expval",
    "expval_parity",
    "given_state",
    "gradient_bytes",
    "make_circuit",
    "noise",
    "pauli_averages",
    "per_sample_vjp",
    "probabilities",
    "product_state",
    "reference_run",
    "run_circuit",
    "stabilizer_entropy",
    "zero_state",
]
