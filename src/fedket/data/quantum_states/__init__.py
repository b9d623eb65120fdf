"""Quantum data: product states sent through a generator circuit whose resource is the label."""
