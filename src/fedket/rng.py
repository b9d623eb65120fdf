"""Randomness as a function of (seed, purpose, round, client), so any round can be rerun.

Never a source of key material: keys come from `fedket.keys`.
"""

import enum

import jax
from jaxtyping import Array, PRNGKeyArray

Rng = PRNGKeyArray


class Purpose(enum.IntEnum):
    """What a random stream is for; streams of different purposes are independent."""

    INIT = 0
    PARTITION = 1
    COHORT = 2
    TRAIN = 3
    QUANTISE = 4
    MEASURE = 5
    SILENCE = 6
    EVALUATE = 7
    NOISE = 8
    ANGLES = 9
    LEAKAGE = 20
