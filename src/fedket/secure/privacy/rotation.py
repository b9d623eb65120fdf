"""A public random rotation, so that no coordinate is much larger than the others.

Random signs, then the Walsh–Hadamard transform (Suresh et al. 2017, arXiv:1611.00429, section 3).
The transform takes 2^k coordinates. Where there are more than 2^k and fewer than 2^(k+1), it is
applied to the first 2^k, then to the last 2^k: orthogonal as well, and every coordinate is mixed
with 2^k others. Padding to 2^(k+1), as is usual, would cost up to twice the one-time key.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, " values"]


def mixed(num_values: int) -> int:
    """With how many coordinates each is mixed, at least half of them."""
    return 1 << (num_values.bit_length() - 1)


def rotate(values: Vector, seed: tuple[int, ...]) -> Vector:
    """Return values rotated, of the same norm.

    Args:
        values: At least one, float64.
        seed: Public randomness that decides the signs, as `numpy.random.default_rng` takes it.
    """
    first, last = _signs(values.size, seed)
    size = mixed(values.size)
    out: Vector = values * first
    out[:size] = hadamard(out[:size])
    if size < values.size:
        out[-size:] = hadamard(out[-size:] * last)
    return out


def rotate_back(values: Vector, seed: tuple[int, ...]) -> Vector:
    """Undo `rotate`."""
    first, last = _signs(values.size, seed)
    size = mixed(values.size)
    out: Vector = values.astype(np.float64)
    if size < values.size:
        out[-size:] = hadamard(out[-size:]) * last
    out[:size] = hadamard(out[:size])
    out *= first
    return out


def hadamard(values: Vector) -> Vector:
    """Walsh–Hadamard transform of 2^k values, divided by 2^(k/2): its own inverse."""
    rows = 1 << ((values.size.bit_length() - 1) // 2)
    once = _down(values.reshape(rows, -1))
    twice = _down(np.ascontiguousarray(once.T))
    out: Vector = np.ascontiguousarray(twice.T).reshape(-1) / np.sqrt(values.size)
    return out


def _down(matrix: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows columns"]:
    """Transform each column, not normalised; neighbours in memory stay neighbours."""
    old, new, half = matrix, np.empty_like(matrix), 1
    while half < len(matrix):
        pairs, sums = (a.reshape(-1, 2, half, a.shape[1]) for a in (old, new))
        np.add(pairs[:, 0], pairs[:, 1], out=sums[:, 0])
        np.subtract(pairs[:, 0], pairs[:, 1], out=sums[:, 1])
        old, new = new, np.empty_like(new) if old is matrix else old
        half *= 2
    return old


@lru_cache(maxsize=2)
def _signs(
    num_values: int, seed: tuple[int, ...]
) -> tuple[Float[np.ndarray, " values"], Float[np.ndarray, " mixed"]]:
    """±1 for the coordinates before the first transform, and before the second."""
    signs = np.random.default_rng(seed).integers(0, 2, num_values + mixed(num_values), np.int8)
    both = 1.0 - 2.0 * signs
    return both[:num_values], both[num_values:]
