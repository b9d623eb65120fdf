"""Planning with key: how long links need to feed rounds, and which link is the tight one.

A reservoir of key bits per link fills at the link's rate and is drained by rounds. Rates are
averages in bit/s; real key arrives in blocks. State goes in and comes out.
"""

from collections.abc import Mapping
from math import inf
from typing import NamedTuple

from fedket.errors import KeyExhaustedError
from fedket.keys.qkd.network import Pair
from fedket.types import KeyWait

Bits = Mapping[Pair, float]


class Reservoir(NamedTuple):
    """Key in store at all links.

    Attributes:
        clock_s: Simulated time since the links started.
        level_bits: Pair -> bits in store.
    """

    clock_s: float
    level_bits: Bits


def empty_reservoir(rates_bps: Bits) -> Reservoir:
    """Return the state before the first pulse."""
    return Reservoir(0.0, dict.fromkeys(rates_bps, 0.0))


def fill(reservoir: Reservoir, rates_bps: Bits, seconds: float) -> Reservoir:
    """Let time pass."""
    levels = {p: level + rates_bps[p] * seconds for p, level in reservoir.level_bits.items()}
    return Reservoir(reservoir.clock_s + seconds, levels)


def drain(reservoir: Reservoir, demand_bits: Bits) -> Reservoir:
    """Take what a round needs.

    Raises:
        KeyExhaustedError: A link has less; nothing is taken.
    """
    for pair, demand in demand_bits.items():
        level = reservoir.level_bits.get(pair, 0.0)
        if level < demand:
            raise KeyExhaustedError(
                f"the link of {pair[0]} and {pair[1]} has {level:.0f} bits of key, a round needs "
                f"{demand:.0f}; wait for more, or ask for less"
            )
    levels = {p: level - demand_bits.get(p, 0.0) for p, level in reservoir.level_bits.items()}
    return reservoir._replace(level_bits=levels)


def wait_for(reservoir: Reservoir, rates_bps: Bits, demand_bits: Bits) -> KeyWait:
    """Return how long the links need until they can meet a demand, and the last one to do so."""
    waits = {
        pair: _seconds(demand - reservoir.level_bits.get(pair, 0.0), rates_bps.get(pair, 0.0))
        for pair, demand in demand_bits.items()
    }
    return last_ready(waits)


def round_seconds(rates_bps: Bits, demand_bits: Bits) -> KeyWait:
    """Return how long every round waits for key in the long run, if all rounds need the same."""
    return wait_for(Reservoir(0.0, {}), rates_bps, demand_bits)


def last_ready(waits: Mapping[Pair, float]) -> KeyWait:
    """Return the longest of several waits."""
    pair = max(waits, key=waits.__getitem__, default=None)
    return KeyWait(0.0, None) if pair is None or waits[pair] <= 0 else KeyWait(waits[pair], pair)


def _seconds(missing_bits: float, rate_bps: float) -> float:
    if missing_bits <= 0:
        return 0.0
    return missing_bits / rate_bps if rate_bps > 0 else inf
