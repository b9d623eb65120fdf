"""What the angles of a QNode are functions of, found out by calling it.

A QNode is a program, not a formula. Nearly every angle is c·z + d, with z one weight or feature:
at four points that is told exactly, and checked at a fifth. The rest is left to the program itself,
traced by JAX.
"""

from collections.abc import Callable

import numpy as np

from fedket.bridges.expressions import Angle, feature, traced, weight

TOLERANCE = 1e-9

Evaluate = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(weights, features) -> all angles of the tape, in order."""


def probe_angles(evaluate: Evaluate, num_weights: int, num_features: int) -> list[Angle]:
    """Each angle as a number, c·weight + d or c·feature + d; else as a traced value.

    Args:
        evaluate: Calls the QNode.
        num_weights: Weights, all arrays together.
        num_features: Features of a sample.
    """
    size = num_weights + num_features

    def at(z: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return evaluate(z[:num_weights], z[num_weights:])

    def draw(seed: int) -> np.ndarray:
        return np.random.default_rng(seed).uniform(0.1, 0.9, size)

    zero, slope = at(np.zeros(size)), at(np.ones(size))
    slope = slope - zero
    with np.errstate(all="ignore"):
        places = (at(np.arange(size, dtype=np.float64)) - zero) / slope
    drawn, found = draw(0), at(draw(0))
    angles = []
    for number, (constant, factor, place) in enumerate(zip(zero, slope, places, strict=True)):
        source = round(place) if np.isfinite(place) and 0 <= round(place) < size else -1
        if abs(found[number] - constant) < TOLERANCE and abs(factor) < TOLERANCE:
            angles.append(Angle(float(constant)))
        elif source >= 0 and _fits(found[number], constant + factor * drawn[source]):
            angles.append(_of(source, num_weights).times(_tidy(factor)).plus(_offset(constant)))
        else:
            angles.append(traced(number))
    return angles


def _of(source: int, num_weights: int) -> Angle:
    return weight(source) if source < num_weights else feature(source - num_weights)


def _offset(constant: float) -> Angle:
    return Angle(float(constant))


def _tidy(factor: float) -> float:
    """A factor without the rounding of the subtraction that found it."""
    return float(np.round(factor, 13))


def _fits(found: float, expected: float) -> bool:
    return bool(abs(found - expected) < TOLERANCE * max(1.0, abs(expected)))
