"""Circuits written elsewhere (OpenQASM 3, PennyLane, Qiskit) as models, and models written there.

A foreign circuit becomes a `fedket.bridges.program.CircuitProgram`, which fedket's own engine runs.
"""
