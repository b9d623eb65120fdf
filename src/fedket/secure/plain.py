"""The sum of floats as they are: no quantiser, no protection."""

from typing import Literal

import jax

from fedket.section import Context, Section
from fedket.secure.in_process import check_clients
from fedket.traffic import Traffic
from fedket.types import Contribution, Reducer, RoundContext


def plain_sum() -> Reducer:
    """Return the reducer that adds floats on the device."""

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        check_clients(contributions, context)
        num_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(contributions))
        return _sum_clients(contributions), Traffic(upload_bytes=num_bytes, key_bits=0)

    return reduce


@jax.jit
def _sum_clients(contributions: Contribution) -> Contribution:
    return jax.tree.map(lambda leaf: leaf.sum(0), contributions)


class PlainConfig(Section):
    """The engine's own floating-point sum; the server sees each client's update."""

    kind: Literal["plain"] = "plain"

    def build(self, context: Context) -> None:
        """Nothing: the engine adds."""

    def caveats(self) -> tuple[str, ...]:
        """What the server sees."""
        return ("plain: the server sees each client's update.",)
