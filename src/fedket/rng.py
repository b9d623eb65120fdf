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
    ROTATE = 10
    PRIVACY = 11
    CONDITIONS = 16
    GRAPH = 17
    LEAKAGE = 18
    ATTACK = 20
    GROUPS = 21
    VALIDATION = 24


def rng_for(
    seed: int | Array,
    purpose: Purpose,
    round_num: int | Array = 0,
    client_id: int | Array = 0,
) -> Rng:
    """Return the JAX key of one (seed, purpose, round, client); traceable in all but `purpose`."""
    return jax.random.fold_in(purpose_rng(jax.random.key(seed), purpose, round_num), client_id)


def purpose_rng(root: Rng, purpose: Purpose, round_num: int | Array) -> Rng:
    """Return the key that clients' keys of a round are made from, by folding in their ids.

    A compiled round takes this, not the seed: so another seed is another argument. `root` is the
    key made of the seed alone.
    """
    return jax.random.fold_in(jax.random.fold_in(root, int(purpose)), round_num)


def numpy_seed(seed: int, purpose: Purpose) -> list[int]:
    """Return entropy for `numpy.random.default_rng`, for work done once on the host."""
    return [seed, int(purpose)]
