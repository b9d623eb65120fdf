"""Robust rules: vectors of n clients, some of them attackers', to one vector.

All take `vectors` of shape (clients, values), float32 or float64 and finite, count each client
once, and return shape (values,) of the same type. Names of arguments are ByzFL's
(arXiv:2505.24802).
"""

import numpy as np
from jaxtyping import Float

from fedket.errors import ConfigError

Vectors = Float[np.ndarray, "clients values"]
Vector = Float[np.ndarray, " values"]

NEAR = 1e-2
"""Squared distances below this share of both squared norms lose too many digits as a difference."""

SAME = 1e-7
"""Change of a client's share below which a geometric median has settled."""


def median(vectors: Vectors) -> Vector:
    """Coordinate-wise median (Yin et al. 2018, arXiv:1803.01498, Definition 1)."""
    middle = (len(vectors) - 1) // 2
    return trimmed_mean(vectors, middle)


def trimmed_mean(vectors: Vectors, f: int) -> Vector:
    """Mean of each coordinate without its f smallest and f largest values (ibid., Definition 2).

    Raises:
        ConfigError: 2f values or fewer arrived.
    """
    check_minority(len(vectors), f)
    ordered = np.sort(vectors, axis=0)
    kept: Vector = ordered[f : len(vectors) - f].mean(axis=0, dtype=vectors.dtype)
    return kept


def krum(vectors: Vectors, f: int) -> Vector:
    """The vector nearest to its n − f − 1 nearest others (Blanchard et al. 2017, NeurIPS, §4).

    The paper sums over n − f − 2 others; ByzFL, and so we, over one more.

    Raises:
        ConfigError: 2f vectors or fewer arrived.
    """
    chosen: Vector = vectors[np.argmin(_scores(vectors, f))].copy()
    return chosen


def multi_krum(vectors: Vectors, f: int) -> Vector:
    """The mean of the n − f vectors with the best of `krum`'s scores (ibid., §4).

    Raises:
        ConfigError: 2f vectors or fewer arrived.
    """
    kept = len(vectors) - f
    best = np.zeros(len(vectors))
    best[np.argsort(_scores(vectors, f), kind="stable")[:kept]] = 1 / kept
    return _weighted(vectors, best)


def geometric_median(vectors: Vectors, nu: float = 1e-6, T: int = 20) -> Vector:
    """Point with the least sum of distances (RFA, Pillutla et al. 2022, arXiv:1912.13445, Alg. 2).

    Smoothed Weiszfeld: z ← Σ βᵢxᵢ / Σ βᵢ with βᵢ = 1 / max(ν, ‖xᵢ − z‖), from z = 0.

    Args:
        vectors: The clients' vectors.
        nu: Smallest distance that counts (ν).
        T: Steps, at most: it ends when the shares of the clients stay the same.
    """
    z: Vector = np.zeros_like(vectors[0])
    share = np.zeros(len(vectors))
    for _ in range(T):
        beta = 1 / np.maximum(nu, _norms(vectors, z))
        before, share = share, beta / beta.sum()
        z = _weighted(vectors, share)
        if np.abs(share - before).max() < SAME:
            break
    return z


def centred_clipping(vectors: Vectors, m: Vector, L: int = 1, tau: float = 100.0) -> Vector:
    """Steps v ← v + mean of (xᵢ − v)·min(1, τ / ‖xᵢ − v‖) (Karimireddy et al., arXiv:2012.10333).

    Args:
        vectors: The clients' vectors.
        m: Where v starts: the last round's result, shape (values,).
        L: Steps.
        tau: Distance from v beyond which a vector is clipped (τ).
    """
    v = m.astype(vectors.dtype)
    for _ in range(L):
        factors = clip_factors(vectors, tau, v)
        v = v + (_weighted(vectors, factors) - factors.sum().astype(v.dtype) * v) / len(vectors)
    return v


def norm_bound(vectors: Vectors, c: float) -> Vector:
    """Mean of the vectors, each scaled down to norm c (Sun et al. 2019, arXiv:1911.07963)."""
    return _weighted(vectors, clip_factors(vectors, c) / len(vectors))


def clip_factors(
    vectors: Vectors, limit: float, centre: Vector | None = None
) -> Float[np.ndarray, " clients"]:
    """What each vector, or its way from a centre, is multiplied by to have norm `limit` at most."""
    norms = _norms(vectors, centre)
    factors: np.ndarray = np.minimum(1, limit / np.maximum(norms, np.finfo(float).tiny))
    return factors


def check_minority(num_vectors: int, f: int) -> None:
    """Raise `ConfigError` unless f attackers are less than half."""
    if not 0 <= 2 * f < num_vectors:
        raise ConfigError(
            f"f = {f} attackers of {num_vectors} is more than the rule stands; it stands up to "
            f"{max(0, (num_vectors - 1) // 2)}, so have more of them in a round, or a smaller f"
        )


def _scores(vectors: Vectors, f: int) -> Float[np.ndarray, " clients"]:
    """Mean squared distance of each vector to its n − f − 1 nearest others."""
    check_minority(len(vectors), f)
    distances = _squared_distances(vectors)
    np.fill_diagonal(distances, -1)  # first in order, and left out
    scores: np.ndarray = np.sort(distances, axis=1)[:, 1 : len(vectors) - f].mean(axis=1)
    return scores


def _squared_distances(vectors: Vectors) -> Float[np.ndarray, "clients clients"]:
    """Of all pairs, in float64: from inner products, and of near pairs from their difference."""
    with np.errstate(over="ignore", invalid="ignore"):  # attackers may be beyond all measure
        gram = (vectors @ vectors.T).astype(np.float64)
        both = np.add.outer(np.diag(gram), np.diag(gram))
        distances = np.nan_to_num(both - 2 * gram, nan=np.inf)
        for i, j in np.argwhere(np.triu(distances < NEAR * both, 1)):
            way = vectors[i] - vectors[j]
            distances[i, j] = distances[j, i] = way @ way
    positive: np.ndarray = np.maximum(distances, 0)
    return positive


def _norms(vectors: Vectors, centre: Vector | None = None) -> Float[np.ndarray, " clients"]:
    """Norm of each vector, or of its way from a centre; infinite if it overflows."""
    with np.errstate(over="ignore"):
        ways = (row if centre is None else row - centre for row in vectors)
        return np.array([np.sqrt(way @ way) for way in ways], np.float64)


def _weighted(vectors: Vectors, factors: Float[np.ndarray, " clients"]) -> Vector:
    """Σ factorᵢ·xᵢ, in the vectors' own precision."""
    total: Vector = factors.astype(vectors.dtype) @ vectors
    return total
