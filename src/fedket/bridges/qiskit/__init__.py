"""Qiskit: a parametrised circuit as a model, on fedket's engine or on a backend."""
