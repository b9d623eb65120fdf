"""What a block of pulses leaves in the counters, the key that it yields, entropy and decibels."""

from math import floor, isfinite, log2
from typing import NamedTuple

from fedket.errors import ConfigError

PerIntensity = tuple[float, ...]


class Counts(NamedTuple):
    """The counters of a block, one entry per intensity (MDI-QKD without decoys has one).

    Attributes:
        key: Clicks in the key basis.
        key_errors: Wrong ones among them.
        test: Clicks in the test basis.
        test_errors: Wrong ones among them.
    """

    key: PerIntensity
    key_errors: PerIntensity
    test: PerIntensity
    test_errors: PerIntensity

    @property
    def num_raw(self) -> float:
        """Raw key bits."""
        return sum(self.key)

    @property
    def key_error(self) -> float:
        """Share of wrong raw key bits."""
        return sum(self.key_errors) / sum(self.key) if sum(self.key) else 0.0

    @property
    def test_error(self) -> float:
        """Share of wrong test bits."""
        return sum(self.test_errors) / sum(self.test) if sum(self.test) else 0.0


class KeyLength(NamedTuple):
    """The key that a block yields.

    Attributes:
        bits: Length of the key, not rounded; negative where there is none.
        phase_error: Bound on the phase error of the raw bits (BB84: of those from single
            photons), at most 1/2.
    """

    bits: float
    phase_error: float

    @property
    def whole_bits(self) -> int:
        """Length in whole bits, 0 where there is none."""
        return max(0, floor(self.bits))


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
