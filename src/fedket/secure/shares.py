"""How large a part of a sum may be one client's: `aggregation.max_share`.

A site says itself how many samples it has, and its update counts in proportion. One that says 10^9
would own every step of the model. In a simulation nobody says anything, the partition deals the
samples out; so nothing is refused there.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from fedket.errors import ConfigError, ProtocolError
from fedket.section import Context
from fedket.types import RoundContext

MaxShare = Annotated[float, Field(gt=0, le=1)]
"""Field of a section: a fraction of the samples of a round's clients."""

DEFAULT = 0.75
"""Clients of honest sizes rarely have more, even where they are two or three."""

ROUNDING = 1e-6
"""Weights are float32: an even share may come out above its own fraction."""


def check_shares(max_share: float, context: RoundContext) -> None:
    """Check that no client of a round has too large a share.

    Raises:
        ProtocolError: One has.
    """
    shares = dict(zip(context.client_ids, context.weights, strict=True))
    most = max(shares, key=shares.__getitem__)
    if shares[most] > max_share + ROUNDING:
        raise ProtocolError(
            f"round {context.round_num}: {_too_large(max_share, len(shares), most, shares[most])}"
        )


def within_share(max_share: float, samples: Mapping[int, int]) -> tuple[list[int], dict[int, str]]:
    """Return who can sum without anybody's share being too large, and why the others cannot.

    Args:
        max_share: As configured.
        samples: Client -> how many it has.
    """
    kept, out = dict(samples), dict[int, str]()
    while len(kept) > 1:
        most = max(kept, key=kept.__getitem__)
        share = kept[most] / sum(kept.values())
        if share <= max_share + ROUNDING:
            break
        out[most] = _too_large(max_share, len(kept), most, share)
        del kept[most]
    return list(kept), out


def check_max_share(max_share: float, context: Context) -> None:
    """Check that a configured share can be kept at all; one client is told that it is too few.

    Raises:
        ConfigError: It is below an even share.
    """
    if context.cohort_size > 1 and max_share < 1 / context.cohort_size - ROUNDING:
        raise ConfigError(
            f"aggregation.max_share is {max_share:g}, an even share of {context.cohort_size} "
            f"clients is {1 / context.cohort_size:.3g}; use that or more"
        )


def _too_large(max_share: float, num_clients: int, client_id: int, share: float) -> str:
    return (
        f"client {client_id} has {share:.1%} of the samples of {num_clients} clients, at most "
        f"{max_share:.1%} may be one's (aggregation.max_share): check its number of samples, leave "
        "some of them out, let more clients take part, or raise aggregation.max_share at all "
        "parties"
    )
