"""Clients below the minimum are topped up from the largest ones.

The outcome is that of moving one sample at a time from the largest client to one below the
minimum, found at once: the largest clients are cut to a common level.
"""

import numpy as np
from jaxtyping import Int64


def excess_and_deficit(
    sizes: Int64[np.ndarray, " clients"], min_samples: int
) -> tuple[Int64[np.ndarray, " clients"], Int64[np.ndarray, " clients"]]:
    """Return how many samples each client gives away and receives.

    Args:
        sizes: Samples of each client, their sum at least clients * min_samples.
        min_samples: Fewest samples a client may hold.

    Returns:
        Excess and deficit, of equal sums; `sizes - excess + deficit >= min_samples`. Of clients at
        the level, those with the highest numbers give one sample less.
    """
    deficit = np.maximum(min_samples - sizes, 0)
    level = _level(sizes, int(deficit.sum()))
    excess = np.maximum(sizes - level, 0)
    donors = np.flatnonzero(excess)
    too_many = int(excess.sum() - deficit.sum())
    excess[donors[len(donors) - too_many :]] -= 1
    return excess, deficit


def move_to_small_clients(
    owner: Int64[np.ndarray, " samples"],
    num_clients: int,
    min_samples: int,
    order: Int64[np.ndarray, " samples"],
) -> Int64[np.ndarray, " samples"]:
    """Reassign samples so that every client holds at least min_samples.

    Args:
        owner: Client of each sample.
        num_clients: Number of clients.
        min_samples: Fewest samples a client may hold; at most samples / clients.
        order: A permutation of the samples: a client gives away its first ones in this order.

    Returns:
        The new client of each sample. Receivers are filled in ascending order from donors in
        ascending order, so that a receiver's labels come from few donors.
    """
    sizes = np.bincount(owner, minlength=num_clients)
    excess, deficit = excess_and_deficit(sizes, min_samples)
    if not deficit.any():
        return owner
    by_client = order[np.argsort(owner[order], kind="stable")]
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    moved = by_client[rank < np.repeat(excess, sizes)]
    repaired = owner.copy()
    repaired[moved] = np.repeat(np.arange(num_clients), deficit)
    return repaired


def _level(sizes: Int64[np.ndarray, " clients"], needed: int) -> int:
    """Return the highest level such that cutting all sizes to it frees what is needed."""
    low, high = 0, int(sizes.max())
    while low < high:
        middle = (low + high + 1) // 2
        if np.maximum(sizes - middle, 0).sum() >= needed:
            low = middle
        else:
            high = middle - 1
    return low
