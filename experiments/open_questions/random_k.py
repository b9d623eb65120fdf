"""Masked sums of a random part of the coordinates in every round, for key_front.toml."""

from typing import Annotated

from pydantic import Field

import fedket as fk
from fedket.secure import random_k


class RandomK(fk.Section):
    """The keys of `[aggregation]`."""

    fraction: Annotated[float, Field(gt=0, le=1)]
    """Share of the coordinates that a round sends, chosen by a public seed."""
    bits: int
    clip: float

    def build(self, context: fk.Context) -> fk.Reducer:
        """Sum under one-time pads without MACs; each round changes its own part of the model."""
        source = fk.OsRandomSource()
        masked = fk.masked_sum(self.bits, "headroom", self.clip, source, authenticate=False)
        return random_k(masked, self.fraction)
