"""What every key source of an experiment can be told."""

from typing import Literal

from fedket.schema import NonNegativeFloat
from fedket.section import Section


class KeysConfig(Section):
    """Keys of every key source; `build` returns a context manager of a `KeySource`."""

    deadline_s: NonNegativeFloat = 3600.0
    """Longest wait for the key of a round, on the clock of the source."""
    starvation: tuple[Literal["lower_bits", "sparsify", "smaller_degree"], ...] = ()
    """What a round gives up when its key would come after the deadline, in this order; a round that
    none of them saves is lost. `lower_bits`: 16, then 8 bits per value; `sparsify`: a random half,
    quarter or eighth of the coordinates, chosen by a public seed; `smaller_degree`: half the
    neighbours."""

    def pairs(self) -> frozenset[tuple[int, int]] | None:
        """Pairs of clients that share key, the smaller first; None for all."""
        return None

    @property
    def between_s(self) -> float:
        """Time from one aggregation to the next on the source's clock, if it is simulated."""
        return 0.0
