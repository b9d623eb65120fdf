"""An aggregation of one's own: the trimmed mean, which a few wild updates cannot move far.

Run it with `python examples/extend/aggregation.py`, or name it:
`[aggregation] kind = "aggregation.py:Trimmed"`.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
from pydantic import Field

import fedket as fk


def trimmed_sum(trim: float) -> fk.Reducer:
    """Trimmed mean (Yin et al. 2018, arXiv:1803.01498, Definition 2), times the clients.

    Clients send weighted updates, so this is for clients of about the same weight.

    Args:
        trim: Share of the clients whose values are left out at either end, of each coordinate.
    """

    def trimmed(leaf: jax.Array) -> jax.Array:
        num_clients = len(leaf)
        cut = int(trim * num_clients)
        return num_clients * jnp.sort(leaf, axis=0)[cut : num_clients - cut].mean(axis=0)

    def reduce(
        contributions: fk.Contribution,
        context: fk.RoundContext,  # noqa: ARG001 - all get it
    ) -> tuple[fk.Contribution, fk.Traffic]:
        """Sum contributions, leaves of shape (clients, …)."""
        return jax.tree.map(trimmed, contributions), fk.Traffic(0, 0)

    return reduce


class Trimmed(fk.Section):
    """The keys of `[aggregation]`."""

    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.1

    def build(self, context: fk.Context) -> fk.Reducer:
        """A reducer sees single contributions; a `Protocol` of masked words does not."""
        return trimmed_sum(self.trim)


if __name__ == "__main__":
    from first import demonstrate

    demonstrate(reducer=trimmed_sum(0.1))
