"""Circuits as data, simulated exactly with adjoint gradients. Pure JAX."""

from fedket.quantum import ansatz as ansatz
from fedket.quantum import noise as noise
from fedket.quantum import shots as shots
