"""Which bins a round asks for: powers of four at first, then such that each has as many values."""

import numpy as np
from jaxtyping import Float64

from fedket.errors import ConfigError
from fedket.statistics.tally import EDGES, Grid, Layout, Tally

EXPONENTS = range(-11, 20)
"""Powers of four: from 2.4e-7 to 2.7e11, of either sign."""

SPREAD = 0.1
"""Share of the bins that goes evenly over a column's range, wherever its values are."""


def first_grid(layout: Layout) -> Grid:
    """Return the grid of a round that finds out where values are."""
    powers = 4.0 ** np.array(EXPONENTS)
    edges = np.concatenate([-powers[::-1], powers])
    return Grid(np.tile(edges, (layout.columns, 1)), counted=True, measured=False)


def even_grid(layout: Layout, low: float, high: float) -> Grid:
    """Return the grid of the only round where a range of all columns is agreed.

    Raises:
        ConfigError: It is empty, or not finite.
    """
    if not (np.isfinite([low, high]).all() and low < high):
        raise ConfigError(f"values from {low:g} to {high:g} are no range; name a smaller, a larger")
    edges = np.linspace(low, high, EDGES)
    return Grid(np.tile(edges, (layout.columns, 1)), counted=True, measured=True)


def next_grid(grid: Grid, found: Tally, least: int, measured: bool) -> Grid:
    """Return a grid whose bins have about as many values each.

    It follows from bins that have `least` values. It reaches from one bin below the least-th
    smallest value to one above the least-th largest: fewer than `least` are outside at either end.
    """
    edges = [_finer(*row, least) for row in zip(grid.edges, found.bins, strict=True)]
    return Grid(np.array(edges), counted=False, measured=measured)


def _finer(
    edges: Float64[np.ndarray, " edges"], bins: np.ndarray, least: int
) -> Float64[np.ndarray, " edges"]:
    if bins.sum() < least:
        return edges
    first = int(np.searchsorted(np.cumsum(bins), least))
    last = EDGES - int(np.searchsorted(np.cumsum(bins[::-1]), least))
    first, last = max(first - 2, 0), min(last + 1, EDGES - 1)
    within = bins[first + 1 : last + 1]
    enough = np.where(within >= least, within, 0) / max(within.sum(), 1)
    reached = np.concatenate([[0.0], np.cumsum(enough + SPREAD / len(within))])
    wanted = np.linspace(0.0, float(reached[-1]), EDGES)
    finer: Float64[np.ndarray, " edges"] = np.interp(wanted, reached, edges[first : last + 1])
    return finer
