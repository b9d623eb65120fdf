"""What fedket and ByzFL are asked for in `benchmarks.robust`; needs NumPy only."""

import numpy as np

CLIENTS, VALUES, ATTACKERS = 100, 61_706, 20
"""LeNet-5's 61,706 numbers."""

RULES = (
    "median",
    "trimmed_mean",
    "krum",
    "multi_krum",
    "geometric_median",
    "centred_clipping",
    "norm_bound",
)
NU, T, TAU, L, C = 0.1, 3, 100.0, 1, 100.0
"""ByzFL's defaults; norms of the honest vectors are about 248, so that TAU and C clip them."""


def vectors() -> np.ndarray:
    """Updates of honest clients, then of attackers, float32, shape (clients, values)."""
    rng = np.random.default_rng(0)
    updates = rng.normal(size=(CLIENTS, VALUES)).astype(np.float32)
    updates[-ATTACKERS:] = -3 * updates[:-ATTACKERS].mean(axis=0)
    return updates


def size(result: np.ndarray) -> float:
    """Root mean square of a result: what a run compares sides by, under the name of a loss."""
    return float(np.sqrt(np.mean(np.square(result, dtype=np.float64))))
