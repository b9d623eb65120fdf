"""Numbers that differ from client to client, as functions of uniform ones: quantile functions."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Draw(NamedTuple):
    """How a number of each client comes about.

    Attributes:
        values: (uniform numbers in [0, 1), one for each client; round, from 1) -> the clients'
            numbers, both of shape (clients,).
        every_round: Whether the uniform numbers are drawn anew in every round; else they stay.
    """

    values: Callable[[np.ndarray, int], np.ndarray]
    every_round: bool = False


def constant(value: float) -> Draw:
    """The same for all clients."""
    return Draw(lambda u, _: np.full(len(u), value))


def listed(values: Sequence[float] | np.ndarray) -> Draw:
    """Each client's own."""
    return Draw(lambda _, __: np.asarray(values, float))


def uniform(low: float, high: float, every_round: bool = False) -> Draw:
    """Uniform between two numbers."""
    return Draw(lambda u, _: low + (high - low) * u, every_round)


def lognormal(median: float, sigma: float, every_round: bool = False) -> Draw:
    """`median`·exp(σ z) with z normal."""
    from scipy.special import ndtri  # takes long to import

    return Draw(lambda u, _: median * np.exp(sigma * ndtri(u)), every_round)


def exponential(mean: float, least: float = 0.0, every_round: bool = False) -> Draw:
    """`least` and, beyond it, exponential with the mean `mean`."""
    return Draw(lambda u, _: least - mean * np.log1p(-u), every_round)


def periodic(
    period: int, day: float = 0.5, high: float = 1.0, low: float = 0.0, spread: float = 1.0
) -> Draw:
    """`high` by day and `low` by night, days of clients being up to `spread` periods apart."""
    return Draw(
        lambda u, round_num: np.where((round_num / period + spread * u) % 1 < day, high, low)
    )
