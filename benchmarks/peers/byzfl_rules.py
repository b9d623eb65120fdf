"""ByzFL's rules, on arrays of NumPy or of PyTorch (`BYZFL_ARRAYS`)."""

import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.peers.byzfl_parts import load
from benchmarks.robust_cases import ATTACKERS, NU, TAU, C, L, T, size, vectors
from benchmarks.timing import answer, median_ms


def measure(name: str) -> dict[str, Any]:
    """Time one rule."""
    updates = vectors()
    arrays = updates if os.environ["BYZFL_ARRAYS"] == "numpy" else torch.from_numpy(updates)
    rule, copies = _rules()[name], name == "norm_bound"

    def call() -> Any:
        given = (
            (arrays.copy() if isinstance(arrays, np.ndarray) else arrays.clone())
            if copies
            else arrays
        )
        return rule(given)

    result = np.asarray(call())
    return {"ms": median_ms(call), "loss": size(result)}


def _rules() -> dict[str, Callable[[Any], Any]]:
    byzfl = load("aggregators")
    average, clip = byzfl.Average(), byzfl.Clipping(c=C)
    return {
        "median": byzfl.Median(),
        "trimmed_mean": byzfl.TrMean(f=ATTACKERS),
        "krum": byzfl.Krum(f=ATTACKERS),
        "multi_krum": byzfl.MultiKrum(f=ATTACKERS),
        "geometric_median": byzfl.GeometricMedian(nu=NU, T=T),
        # It keeps its result as the next call's centre; each call here starts anew.
        "centred_clipping": lambda updates: byzfl.CenteredClipping(L=L, tau=TAU)(updates),
        "norm_bound": lambda updates: average(clip(updates)),
    }


if __name__ == "__main__":
    answer(measure, sys.argv[1:])
