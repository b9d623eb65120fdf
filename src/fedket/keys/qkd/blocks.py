"""What a block of pulses leaves in the counters, and the key that it yields."""

from math import floor
from typing import NamedTuple

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
