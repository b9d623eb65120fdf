"""Features become float32; integer features become fractions of their largest value."""

import numpy as np
from jaxtyping import Float32, Shaped

from fedket.errors import DataError


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
    finite = np.isfinite(scaled)
    if not finite.all():
        bad = int(np.flatnonzero(~finite.reshape(len(x), -1).all(axis=1))[0])
        raise DataError(
            f"{source}[{bad}] holds NaN, infinite or beyond float32 features; clean or drop it"
        )
    return scaled
