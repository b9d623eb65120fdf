"""Search for the best working point of a link: smooth in few variables, so a simplex will do."""

from collections.abc import Callable, Sequence

import numpy as np

Vector = np.ndarray[tuple[int], np.dtype[np.float64]]

SizedLoss = Callable[[Sequence[float], float], float]
"""(variables of order 1, pulses per block) -> what shall be small."""


def lowest_for_block(loss: SizedLoss, start: Sequence[float], pulses: float) -> list[float]:
    """Return where `loss` is smallest (Nelder and Mead 1965).

    Small blocks have key in a small region only, so the search walks there from where larger blocks
    are best.

    Args:
        loss: A function of real variables without constraints.
        start: A good place for very large blocks.
        pulses: Pulses per block.
    """
    from scipy.optimize import fmin

    best = list(start)
    for size in (1e4 * pulses, 1e3 * pulses, 1e2 * pulses, 10 * pulses, pulses):

        def plain(values: Vector, size: float = size) -> float:
            return loss([float(value) for value in values], size)

        found = fmin(plain, best, xtol=1e-4, ftol=1e-10, maxiter=2000, disp=False)
        best = [float(value) for value in found]
    return best


def lowest_between(loss: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function of one variable is smallest within bounds."""
    from scipy.optimize import minimize_scalar

    return float(minimize_scalar(loss, bounds=(low, high), method="bounded").x)
