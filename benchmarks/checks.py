"""Whoever is timed has computed the reference's function first: its value and its gradient."""

from collections.abc import Callable

import numpy as np

from benchmarks.workloads import (
    Params,
    Round,
    Workload,
    load_round,
    reference,
    reference_round,
    round_loss,
    slope_along,
)

TOLERANCE = 1e-4  # of a loss
RELATIVE_SLOPE_TOLERANCE = 1e-3  # single precision through a deep circuit
CHECKED_CLIENTS = 5


class MismatchError(Exception):
    """Something else than the reference's function was computed."""


def check_gradient(workload: Workload, loss: float, grads: Params) -> float:
    """Compare a loss and its gradient at the workload's inputs with the reference's; return its."""
    expected = reference(workload)
    slope = slope_along(expected.direction, grads)
    _check("loss", loss, expected.loss, TOLERANCE)
    _check("slope", slope, expected.slope, RELATIVE_SLOPE_TOLERANCE * abs(expected.slope))
    return expected.loss


def expected_round_loss() -> float:
    """Return the reference's loss after a round of few clients."""
    task = load_round(CHECKED_CLIENTS)
    return round_loss(task, reference_round(task))


def check_round(run: Callable[[Round], np.ndarray]) -> float:
    """Run a round of few clients, compare with the reference, return the loss after it.

    Args:
        run: Takes a round to the new global angles (2, 4, 3).
    """
    task = load_round(CHECKED_CLIENTS)
    loss = round_loss(task, run(task))
    _check("loss after a round", loss, expected_round_loss(), TOLERANCE)
    return loss


def _check(what: str, got: float, expected: float, tolerance: float) -> None:
    if not abs(got - expected) <= tolerance:
        raise MismatchError(f"{what} is {got:.8g}, but the reference's is {expected:.8g}")
