"""The table about aggregation."""

from typing import Annotated, Literal

from pydantic import Field

from fedket.schema import PositiveFloat, Table


class AggregationConfig(Table):
    """How contributions become a sum."""

    kind: Literal["plain", "quantised", "masked", "shared_masks"] = "plain"
    bits: Literal[4, 8, 16, 32] = 16
    """Quantised bits per value (q)."""
    word: Literal["headroom", "safe"] = "headroom"
    """`headroom`: words of q bits; `safe`: words of q + ceil(log2 clients) bits. `shared_masks`
    takes values as `safe` does."""
    clip: PositiveFloat = 1.0
    """Largest absolute update per coordinate; larger ones are clipped."""
    degree: Annotated[int, Field(ge=0)] = 0
    """`masked`: with how many others each client shares a pad, an even number; 0 means all of them
    up to 20 clients, and beyond as many as `bad_fraction` asks for."""
    bad_fraction: Annotated[float, Field(ge=0, lt=1)] = 1 / 3
    """`masked`: share of clients that may collude or drop out, for degree 0."""
    mac: bool = True
    """`masked`: authenticate every message with a one-time key of the client's link to the server;
    `shared_masks` always does."""
    colluders: Annotated[int, Field(ge=0)] = 1
    """`shared_masks`: clients that may join the server without learning more (T)."""
    threshold: Annotated[int, Field(ge=0)] = 0
    """`shared_masks`: clients that must be alive until the sum opens (U), at least colluders + 2;
    0 means three quarters of the cohort."""
    malicious: bool = False
    """`shared_masks`: hold out against a server that lies; threshold must exceed
    (clients + colluders)/2."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """`shared_masks`: simulated; the share of clients that fall silent somewhere in a round."""
