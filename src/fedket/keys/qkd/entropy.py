"""The binary entropy function, and decibels."""

from math import isfinite, log2

from fedket.errors import ConfigError


def binary_entropy(p: float) -> float:
    """Return h(p) = -p*log2(p) - (1-p)*log2(1-p) in bits, for p in [0, 1]; h(0) = h(1) = 0."""
    if p <= 0 or p >= 1:
        return 0.0
    return -p * log2(p) - (1 - p) * log2(1 - p)


def transmittance(loss_db: float) -> float:
    """Return the share of the light that arrives after `loss_db` decibels.

    Raises:
        ConfigError: The loss is negative or not a number.
    """
    if not (isfinite(loss_db) and loss_db >= 0):
        raise ConfigError(f"a loss is 0 dB or more, got {loss_db} dB; give it as a positive number")
    return float(10 ** (-loss_db / 10))
