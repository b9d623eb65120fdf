"""One simulated link over simulated time: blocks come in, key piles up, alarms stop it."""

import os
from collections import deque
from math import ceil, inf
from typing import NamedTuple

import numpy as np

from fedket.errors import KeyExhaustedError
from fedket.keys.material import KeyMaterial
from fedket.keys.qkd.blocks import Counts, binary_entropy
from fedket.keys.qkd.link import (
    DistilledBlock,
    Link,
    RandomBytes,
    distil_block,
    draw_block,
    draw_counts,
    early_alarm,
    net_bytes,
    preshared_keys,
)
from fedket.keys.qkd.network import Pair
from fedket.keys.qkd.postprocess import Alarm
from fedket.keys.streams import KeyStream

PRESHARED_BLOCKS = 16
"""Blocks that a link can authenticate before its own key has to do it."""

FAILURES = 3
"""Blocks without key in a row that stop a link; an intrusion stops it at once."""


class LinkAlarmError(KeyExhaustedError):
    """A link stopped giving key.

    Attributes:
        alarm: Why.
        pair: The two parties of the link.
    """

    def __init__(self, alarm: Alarm, pair: Pair, clock_s: float) -> None:
        self.alarm, self.pair = alarm, pair
        super().__init__(
            f"the simulated link of {pair[0]} and {pair[1]} raised {alarm.name} at {clock_s:.0f} s "
            f"({alarm.value}); it gives no key until the alarm is cleared"
        )


class LinkSettings(NamedTuple):
    """How links are simulated.

    Attributes:
        physics_seed: Seed of counters and flips, 0 or more.
        distil_every: One block in so many is really distilled, 1 or more; the key of the others is
            drawn.
        capacity_bytes: A link with this much key in store is idle.
        relay_mux: Pairs that take turns at the relay.
        seed: For tests only: raw bits and public seeds come from a seeded generator, and the keys
            are worthless. None: from the operating system.
    """

    physics_seed: int
    distil_every: int
    capacity_bytes: int
    relay_mux: int
    seed: int | None


class _Measured(NamedTuple):
    """A block whose key is not distilled yet."""

    counts: Counts
    rng: np.random.Generator
    planned_bytes: int


class LinkRun:
    """A link that is running; not safe for several threads. All of its figures are simulated.

    Counters are drawn, and alarms raised, when a block ends; its key is distilled when it is
    needed, so key that nobody asks for costs no computing time.

    Attributes:
        pair: The two parties.
        link: The link at its working point.
        intercepted: Share of pulses that an eavesdropper measures and resends from now on, 0..1.
        alarm: Why the link has stopped, or None.
        blocks: Blocks of pulses so far, those without key included.
        counts: Counters of the latest block, or None.
        distilled_bytes: Key that was really distilled from simulated bits.
        drawn_bytes: Key that was drawn at the length distillation would have given.
        efficiency: f of the latest error correction that really ran; 0 before.
    """

    def __init__(self, pair: Pair, link: Link, settings: LinkSettings) -> None:
        self.pair, self.link, self._settings = pair, link, settings
        self.intercepted = 0.0
        self.alarm: Alarm | None = None
        self.blocks = self.distilled_bytes = self.drawn_bytes = 0
        self.counts: Counts | None = None
        self.efficiency = 0.0
        self._random_bytes = _generator(pair, settings.seed)
        self._auth_keys = preshared_keys(PRESHARED_BLOCKS, self._random_bytes)
        self._store = KeyStream()
        self._waiting: deque[_Measured] = deque()
        self._clock_s, self._slots, self._failures, self._processed = 0.0, 0, 0, 0

    @property
    def level(self) -> int:
        """Bytes in store; measured blocks that wait for distillation count as planned."""
        return len(self._store) + sum(block.planned_bytes for block in self._waiting)

    @property
    def slot_seconds(self) -> float:
        """Time from block to block."""
        return self.link.block_seconds * self._settings.relay_mux

    @property
    def next_block_s(self) -> float:
        """When the next block ends."""
        return (self._slots + 1) * self.slot_seconds

    def run_until(self, clock_s: float) -> None:
        """Let simulated time pass."""
        while self.next_block_s <= clock_s:
            if self.alarm is not None or self.level >= self._settings.capacity_bytes:
                self._slots = max(self._slots + 1, int(clock_s // self.slot_seconds))
                break
            self._clock_s = self.next_block_s
            self._measure()
            self._slots += 1
        self._clock_s = max(self._clock_s, clock_s)

    def seconds_until(self, num_bytes: int) -> float:
        """Return how long it probably takes to have `num_bytes` in store; inf if never."""
        if self.alarm is not None:
            return inf
        missing = num_bytes - self.level
        if missing <= 0:
            return 0.0
        planned = int(self.link.planned_bits() // 8)
        if planned == 0 or num_bytes > self._settings.capacity_bytes:
            return inf
        last = self._slots + ceil(missing / planned)
        return max(0.0, last * self.slot_seconds - self._clock_s)

    def make_ready(self, num_bytes: int) -> bool:
        """Distil what is needed; returns whether `num_bytes` can be taken now."""
        while len(self._store) < num_bytes and self._waiting:
            self._process(self._waiting.popleft())
        return len(self._store) >= num_bytes

    def take(self, num_bytes: int) -> KeyMaterial:
        """Take key out of the store, oldest first, after `make_ready`."""
        return self._store.take(num_bytes)

    def raise_alarm(self) -> None:
        """Fail if the link has stopped.

        Raises:
            LinkAlarmError: It has; what is in store stays there.
        """
        if self.alarm is not None:
            raise LinkAlarmError(self.alarm, self.pair, self._clock_s)

    def clear_alarm(self) -> None:
        """Start a stopped link again, with new preshared keys if it has none left."""
        self.alarm, self._failures = None, 0
        self._auth_keys = self._auth_keys or preshared_keys(PRESHARED_BLOCKS, self._random_bytes)

    def _measure(self) -> None:
        """Draw the counters of the block that ends now."""
        numbers = [self._settings.physics_seed, *(n + 1 for n in self.pair), self._slots]
        rng = np.random.default_rng(numbers)
        self.counts = counts = draw_counts(self.link, rng, self.intercepted)
        self.blocks += 1
        alarm = early_alarm(self.link, counts)
        if alarm is None:
            self._waiting.append(_Measured(counts, rng, net_bytes(self.link, counts)))
        else:
            self._fail(alarm)

    def _process(self, measured: _Measured) -> None:
        """Turn counters into key."""
        counts, rng, _ = measured
        draws = self.efficiency > 0 and self._processed % self._settings.distil_every
        self._processed += 1
        link, keys, source = self.link, self._auth_keys, self._random_bytes
        block, self._auth_keys = (
            draw_block(link, counts, keys, self.efficiency, random_bytes=source)
            if draws
            else distil_block(link, counts, keys, rng, random_bytes=source)
        )
        if block.alarm is not None:
            self._fail(block.alarm)
            return
        self._failures = 0
        self._store.append(block.key)
        self._count(block, counts)

    def _count(self, block: DistilledBlock, counts: Counts) -> None:
        if not block.really_distilled:
            self.drawn_bytes += len(block.key)
            return
        self.distilled_bytes += len(block.key)
        shannon = counts.num_raw * binary_entropy(counts.key_error)
        self.efficiency = block.disclosed_bits / shannon if shannon else 1.0

    def _fail(self, alarm: Alarm) -> None:
        self._failures += 1
        if alarm is Alarm.INTRUSION or self._failures >= FAILURES:
            self.alarm = alarm


def _generator(pair: Pair, seed: int | None) -> RandomBytes:
    """Return the operating system's generator, or a seeded one for tests."""
    if seed is None:
        return os.urandom
    return np.random.default_rng([seed, *(n + 1 for n in pair)]).bytes
