"""Quantum data: product states sent through a generator circuit whose resource is the label."""

from fedket.data.quantum_states.make import DEFAULT_STATES, RESOURCES, StateRequest, make_states

__all__ = ["DEFAULT_STATES", "RESOURCES", "StateRequest", "make_states"]
