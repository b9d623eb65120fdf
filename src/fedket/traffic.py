"""What an aggregation costs, counted by those who carry it out."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class PhaseCost(NamedTuple):
    """What one phase of an aggregation cost, summed over all clients; repeats are added up.

    Attributes:
        name: Action of the phase, for example `upload`.
        upload_bytes: Payload bytes from clients to the server, without transport framing.
        download_bytes: Payload bytes from the server to clients, likewise.
        pad_bits: Key bits set aside as one-time pads, each link's bytes counted once.
        mac_bits: Key bits set aside as one-time MAC keys, likewise.
        seconds: Wall time until all answers were in and processed.
    """

    name: str
    upload_bytes: int
    download_bytes: int
    pad_bits: int
    mac_bits: int
    seconds: float


class Traffic(NamedTuple):
    """What one aggregation cost, summed over all clients and pairs.

    Attributes:
        upload_bytes: Bytes that clients sent to the server, in all phases.
        key_bits: Key bits used up, pads and MAC keys (each link's bytes count once).
        num_clipped: Coordinates of updates beyond the clip, over all clients; None where each
            client keeps its own count to itself.
        phases: The same by phase, in order; empty where nothing was exchanged in phases.
        missing: Client whose update is not in the sum -> why not.
        starvation: What was given up for want of key, in words; empty if nothing was.
        key_wait_s: Time the round waited for key, on the clock of the key source.
        key_levels: Pair of parties -> key bits in store after the round; empty if not known.
        num_clipped_updates: Updates beyond a clip of their norm; None where there is none, or where
            each client keeps that to itself.
    """

    upload_bytes: int
    key_bits: int
    num_clipped: int | None = 0
    phases: tuple[PhaseCost, ...] = ()
    missing: Mapping[int, str] = {}
    starvation: str = ""
    key_wait_s: float = 0.0
    key_levels: Mapping[tuple[int, int], int] = {}
    num_clipped_updates: int | None = None


def traffic_of(phases: tuple[PhaseCost, ...]) -> Traffic:
    """Add up the cost of an aggregation over its phases; clients keep their counts of clipping."""
    return Traffic(
        upload_bytes=sum(phase.upload_bytes for phase in phases),
        key_bits=sum(phase.pad_bits + phase.mac_bits for phase in phases),
        num_clipped=None,
        phases=phases,
    )


def together(parts: Sequence[Traffic]) -> Traffic:
    """Add up the cost of several sums of one round; phases of one name are one."""
    phases: dict[str, PhaseCost] = {}
    for phase in (phase for part in parts for phase in part.phases):
        before = phases.get(phase.name, PhaseCost(phase.name, 0, 0, 0, 0, 0.0))
        numbers: Any = map(sum, zip(before[1:], phase[1:], strict=True))
        phases[phase.name] = PhaseCost(phase.name, *numbers)
    clipped = [part.num_clipped for part in parts]
    return Traffic(
        upload_bytes=sum(part.upload_bytes for part in parts),
        key_bits=sum(part.key_bits for part in parts),
        num_clipped=None if None in clipped else sum(filter(None, clipped)),
        phases=tuple(phases.values()),
        missing={client: why for part in parts for client, why in part.missing.items()},
        starvation="; ".join(dict.fromkeys(p.starvation for p in parts if p.starvation)),
        key_wait_s=sum(part.key_wait_s for part in parts),
        key_levels={pair: n for part in parts for pair, n in part.key_levels.items()},
    )
