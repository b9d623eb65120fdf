"""Finite shots: samples of what is measured, and gradients from them as hardware finds them.

`fk.vqc(circuit, 10, shots=fk.shots.Shots(1024))` trains with the parameter-shift rule;
`sample_frequencies`, `sampled_values` and `shift_rules` serve any circuit.
"""

from fedket.quantum.shots.drawing import draw_values
from fedket.quantum.shots.gradients import sampled_values
from fedket.quantum.shots.plan import ShotPlan, plan_shots
from fedket.quantum.shots.rules import FOUR_TERMS, TWO_TERMS, ShiftRule, num_shifts, shift_rules
from fedket.quantum.shots.sampling import sample_frequencies
from fedket.quantum.shots.settings import Shots

__all__ = [
    "FOUR_TERMS",
    "TWO_TERMS",
    "ShiftRule",
    "ShotPlan",
    "Shots",
    "draw_values",
    "num_shifts",
    "plan_shots",
    "sample_frequencies",
    "sampled_values",
    "shift_rules",
]
