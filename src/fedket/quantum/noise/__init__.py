"""Noise on circuits: channels, models of devices, and expectation values under them.

`fk.noise.depolarising(0.001, 0.01) + fk.noise.readout_error(0.02, 0.05)` is a model; `fk.vqc` and
`fk.hybrid` take one, and `fk.noise.expval` works out values of any circuit under it.
"""

from fedket.quantum.noise import channels
from fedket.quantum.noise.calibration import from_calibration
from fedket.quantum.noise.channels import Channel
from fedket.quantum.noise.memory import check_exact_memory, exact_bytes
from fedket.quantum.noise.model import (
    NoiseModel,
    Rule,
    after,
    amplitude_damping,
    depolarising,
    phase_damping,
    readout_error,
)
from fedket.quantum.noise.observables import expval, expval_parity, probabilities
from fedket.quantum.noise.schrodinger import outcome_probabilities
from fedket.quantum.noise.trajectories import trajectory_parity, trajectory_probabilities

__all__ = [
    "Channel",
    "NoiseModel",
    "Rule",
    "after",
    "amplitude_damping",
    "channels",
    "check_exact_memory",
    "depolarising",
    "exact_bytes",
    "expval",
    "expval_parity",
    "from_calibration",
    "outcome_probabilities",
    "phase_damping",
    "probabilities",
    "readout_error",
    "trajectory_parity",
    "trajectory_probabilities",
]
