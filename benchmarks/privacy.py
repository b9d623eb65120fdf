"""Noise on a masked sum beside the same sum without: `python -m benchmarks.privacy`.

`round`: 200 clients, 61,706 values of 16 bits each (LeNet-5), pairwise masks; rounds with and
without noise take turns in one process, and the ratio is the median of the pairs'. `draws`: 10^6
integers of either noise from the operating system's generator, in ms, tables made before.
"""

from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from benchmarks import run
from benchmarks.timing import median_ms, wall_ms
from fedket.keys import OsRandomSource
from fedket.secure import Protocol, pairwise_protocol, reduce_in_process
from fedket.secure.privacy import Law, Mechanism, draw, private_protocol
from fedket.types import RoundContext

CLIENTS, VALUES, BITS = 200, 61_706, 16
CLIP, NOISE, PAIRS = 1.0, 1.0, 3


def measure_round() -> dict[str, Any]:
    """Time rounds in pairs."""
    plain = pairwise_protocol(BITS, CLIP)
    kinds = ("skellam", "discrete_gaussian")
    noised = [
        private_protocol(plain, Mechanism(kind, CLIP, NOISE, CLIENTS, CLIENTS)) for kind in kinds
    ]
    calls = [_rounds(protocol) for protocol in (plain, *noised)]
    for call in calls:
        call()
    pairs = np.array([[wall_ms(call) for call in calls] for _ in range(PAIRS)])
    masked_s, *noised_s = (np.median(pairs, axis=0) / 1e3).tolist()
    ratios = [median(pairs[:, 1 + i] / pairs[:, 0]) for i in range(len(kinds))]
    found = {"masked_s": masked_s}
    for kind, seconds, ratio in zip(kinds, noised_s, ratios, strict=True):
        found |= {f"{kind}_s": seconds, f"{kind}_ratio": float(ratio)}
    return found


def _rounds(protocol: Protocol) -> Callable[[], object]:
    """One round more with every call."""
    reduce = reduce_in_process(protocol, OsRandomSource())
    rows = np.random.default_rng(0).normal(size=(CLIENTS, VALUES)).astype(np.float32)
    rows *= CLIP / CLIENTS / np.linalg.norm(rows, axis=1, keepdims=True)
    shares, done = (1 / CLIENTS,) * CLIENTS, 0

    def one() -> object:
        nonlocal done
        done += 1
        return reduce(rows, RoundContext(0, done, tuple(range(CLIENTS)), shares))

    return one


def measure_draws() -> dict[str, Any]:
    """Time a million draws of each law, narrow and wide."""
    found = {}
    for kind in ("skellam", "discrete_gaussian"):
        for deviation in (10.0, 1000.0, 16384.0):
            law = Law(kind, deviation)
            found[f"{kind}_{deviation:.0f}_ms"] = median_ms(lambda law=law: draw(law, 10**6))
    return found


if __name__ == "__main__":
    run.main(__doc__, "privacy", {"round": measure_round, "draws": measure_draws})
