"""Tables about aggregation and its keys."""

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


class KeysConfig(Table):
    """Where the pads of masked aggregation come from."""

    source: Literal["os_random", "simulated", "etsi014"] = "os_random"
    """`os_random`: this machine's generator, for tests; `simulated`: simulated QKD links;
    `etsi014`: pad stores filled by key managers over ETSI GS QKD 014."""
    protocol: Literal["mdi", "bb84"] = "mdi"
    """`simulated`: four-phase MDI-QKD or decoy-state BB84."""
    loss_db: Annotated[tuple[Annotated[float, Field(ge=0, le=80)], ...], Field(min_length=1)] = (
        20.0,
    )
    """`simulated`: total loss of the links between clients in dB, detectors included: one for all,
    or one for each pair in the order 0-1, 0-2, …, 1-2, …."""
    server_loss_db: Annotated[float, Field(ge=0, le=80)] = 20.0
    """`simulated`: total loss of each client's link with the server, for MAC keys."""
    relay_mux: Annotated[int, Field(ge=0)] = 1
    """`simulated`: pairs among which the relay's time is divided; 0 means all links."""
    clock_hz: PositiveFloat = 1e8
    """`simulated`: pulses per second."""
    block_pulses: Annotated[float, Field(ge=1e6, le=1e13)] = 1e10
    """`simulated`: pulses per block; key comes in whole blocks."""
    distil: Literal["auto", "full", "sampled"] = "auto"
    """`simulated`: post-process all key, one block in 20 (the rest is drawn at the length it would
    have had), or all of it unless a round takes more than 1 MiB."""
    training_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """`simulated`: time from one aggregation to the next on the links' clock."""
    eavesdropper: Annotated[float, Field(ge=0, le=1)] = 0.0
    """`simulated`: share of the pulses of link 0-1 that are intercepted and resent."""
    store: str = ""
    """`etsi014`: directory of the pad stores, one per party."""
    saes: tuple[str, ...] = ()
    """`etsi014`: one file per client, in order, then the server's: how that party reaches its KME
    (as for `fedket keys doctor`)."""
    deadline_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3600.0
    """Longest wait for the key of a round, on the clock of the source."""
    starvation: tuple[Literal["lower_bits", "sparsify", "smaller_degree"], ...] = ()
    """What a round gives up when its key would come after the deadline, in this order; what none
    of them saves fails. `lower_bits`: 16, then 8 bits per value; `sparsify`: a random half, quarter
    or eighth of the coordinates, chosen by a public seed; `smaller_degree`: half the neighbours."""
