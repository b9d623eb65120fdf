"""Features as float32 of one range, images with their channels last."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Shaped

from fedket.errors import DataError

CHANNELS, LEAST_SIDE = (1, 3, 4), 5
"""Channels that images have, and the least side that is none."""

FACTOR = 50
"""Parts whose features differ so much on average, one within ±1, were scaled differently."""


def scale_features(
    x: Shaped[np.ndarray, "samples ..."],
    max_value: float | None = None,
    source: str = "x",
) -> Float32[np.ndarray, "samples ..."]:
    """Return features as C-ordered float32, integer ones scaled to [0, 1].

    Args:
        x: Features, shape (samples, ...): unsigned integers, booleans or floats.
        max_value: What becomes 1 for integers; None means the largest value of the dtype (255 for
            uint8). Floats are never scaled.
        source: Where the features come from, for messages.

    Returns:
        Finite features, same shape.

    Raises:
        DataError: Another dtype (how to scale it is a guess), or NaN or infinite features.
    """
    kind = x.dtype.kind
    if kind == "u":
        largest = np.float32(np.iinfo(x.dtype).max if max_value is None else max_value)
        fractions = np.empty(x.shape, np.float32)
        np.divide(x, largest, out=fractions)
        return fractions
    if kind == "b":
        return np.ascontiguousarray(x, dtype=np.float32)
    if kind != "f":
        raise DataError(f"{source} has dtype {x.dtype}; store it as uint8 or float32")
    with np.errstate(over="ignore"):
        scaled = np.ascontiguousarray(x, dtype=np.float32)
    check_finite(scaled, source)
    return scaled


def check_finite(x: Float[np.ndarray, "samples ..."], source: str) -> None:
    """Raise `DataError` with the first sample that has a feature which is no number."""
    if not np.isfinite(x).all():
        bad = int(np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))[0])
        raise DataError(
            f"{source}[{bad}] holds NaN, infinite or beyond float32 features; clean or drop it"
        )


def check_ranges(parts: dict[str, Float32[np.ndarray, "samples ..."]], source: str) -> None:
    """Refuse parts that were scaled differently, such as 0 to 255 and 0 to 1.

    Args:
        parts: Features by the name of their part; the first is the training part.
        source: Where they come from, for messages.

    Raises:
        DataError: One part lies within ±1 and another is many times as large on average.
    """
    ranges = [_range(name, x) for name, x in parts.items() if x.size]
    for other in ranges[1:]:
        low, high = sorted((other, ranges[0]), key=lambda part: max(-part.least, part.most))
        if 0 < low.mean < high.mean / FACTOR and low.least >= -1 and low.most <= 1:
            raise DataError(
                f"{source}: x_{high.part} has features of {high.least:g} to {high.most:g}, "
                f"x_{low.part} of {low.least:g} to {low.most:g}; scale both alike"
            )


class _Range(NamedTuple):
    """Features of a part: the least, the most, and the mean of their sizes."""

    part: str
    least: float
    most: float
    mean: float


def _range(part: str, x: np.ndarray) -> _Range:
    least = float(x.min())
    sizes = x if least >= 0 else np.abs(x)
    return _Range(part, least, float(x.max()), float(sizes.mean(dtype=np.float64)))


def channels_last(x: Shaped[np.ndarray, "samples ..."]) -> Shaped[np.ndarray, "samples ..."] | None:
    """Images (channels, height, width), as PyTorch has them, with channels last; None for others.

    Such are samples with 1, 3 or 4 channels first, and sides of 5 or more.
    """
    first = x.ndim == 4 and x.shape[1] in CHANNELS and min(x.shape[2:]) >= LEAST_SIDE
    return np.moveaxis(x, 1, 3) if first else None
