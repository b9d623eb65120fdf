"""The public shuffles and subsets that error correction of a frame uses, from a public seed."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, UInt64

NUM_CHECKS = 32
"""Parities of random subsets by which the ends compare a frame: misses errors with 2^-32."""


class Shuffle(NamedTuple):
    """A permutation of a frame.

    Attributes:
        order: Place in the shuffled frame -> bit, shape (bits,).
        place: Bit -> place in the shuffled frame, shape (bits,).
    """

    order: Int32[np.ndarray, " bits"]
    place: Int32[np.ndarray, " bits"]


class Shuffles:
    """All shuffles of frames of one size; made when first needed, the same at both ends.

    They are no secret, but are announced only after the raw bits are fixed.
    """

    def __init__(self, num_bits: int, seed: int) -> None:
        self._rng = np.random.default_rng([seed, num_bits])
        words = max(1, num_bits // 64)
        self.subsets: UInt64[np.ndarray, "checks words"] = self._rng.integers(
            0, 2**64, (NUM_CHECKS, words), dtype=np.uint64
        )
        identity = np.arange(num_bits, dtype=np.int32)
        self._made = [Shuffle(identity, identity)]

    def __getitem__(self, pass_num: int) -> Shuffle:
        """Return the shuffle of a pass; pass 0 leaves the frame as it is."""
        while len(self._made) <= pass_num:
            order = self._rng.permutation(self._made[0].order)
            place = np.empty_like(order)
            place[order] = self._made[0].order
            self._made.append(Shuffle(order, place))
        return self._made[pass_num]
