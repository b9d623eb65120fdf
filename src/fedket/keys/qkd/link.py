"""A simulated QKD link: counters drawn from the physics, keys distilled from simulated bits.

Pulses are never drawn one by one: per block, clicks are multinomial and errors binomial, then as
many raw bits are made as there are clicks, Bob's with so many flips, and the real post-processing
runs on them. The physics come from a seeded generator (they are a simulation), the raw bits from
the operating system; everything is simulated and no key has crossed a fibre.

The eavesdropper measures and resends a share of the pulses in a random basis: in the wrong one half
of the time, so that (e + 1/2)/2 of what she touched is wrong in either basis.
"""

import os
from collections.abc import Callable
from functools import partial
from math import log
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from fedket.keys.material import KeyMaterial
from fedket.keys.qkd import bb84, finite_key
from fedket.keys.qkd.blocks import Counts, KeyLength, binary_entropy
from fedket.keys.qkd.conversation import Wire, honest_wire
from fedket.keys.qkd.postprocess import AUTH_KEY_BYTES, Alarm, distil

RandomBytes = Callable[[int], bytes]

FALSE_ALARM_PROB = 1e-12
"""Chance that an untouched link's test errors look like an intrusion, per block."""

AuthKeys = tuple[KeyMaterial, ...]
"""One-time keys for the next blocks, `AUTH_KEY_BYTES` each; both ends hold the same."""


class Link(NamedTuple):
    """A link at its working point, the same for all protocols.

    Attributes:
        protocol: `mdi` or `bb84`.
        clock_hz: Pulses (MDI: pairs of pulses) per second.
        pulses: Pulses per block.
        expected: Expectation of a block's counters.
        key_length: (counters, disclosed bits) -> the key that the security proof allows.
    """

    protocol: str
    clock_hz: float
    pulses: int
    expected: Counts
    key_length: Callable[[Counts, float], KeyLength]

    @property
    def block_seconds(self) -> float:
        """How long a block takes if the link has its relay to itself."""
        return self.pulses / self.clock_hz

    def planned_bits(self, efficiency: float = 1.16) -> float:
        """Key per block to plan with: expected counters, error correction at f = `efficiency`."""
        leak = efficiency * self.expected.num_raw * binary_entropy(self.expected.key_error)
        return max(0.0, self.key_length(self.expected, leak).bits - 8 * AUTH_KEY_BYTES)

    def planned_rate_bps(self, efficiency: float = 1.16) -> float:
        """Key rate to plan with, authentication deducted, for the relay's undivided time."""
        return self.planned_bits(efficiency) / self.block_seconds


class DistilledBlock(NamedTuple):
    """What one simulated block gave.

    Attributes:
        key: The key of both ends, in whole bytes; empty after an alarm.
        disclosed_bits: Bits disclosed by error correction.
        really_distilled: False if the post-processing was skipped and the key's bytes come straight
            from the generator of raw bits, at the length that it would have had.
        alarm: Why there is no key, or None.
    """

    key: KeyMaterial
    disclosed_bits: int
    really_distilled: bool
    alarm: Alarm | None


def mdi_link(point: finite_key.MdiPoint, clock_hz: float) -> Link:
    """Return a four-phase MDI-QKD link."""
    expected, key_length = finite_key.expected_counts(point), partial(finite_key.key_length, point)
    return Link("mdi", clock_hz, round(point.pulses), expected, key_length)


def bb84_link(point: bb84.DecoyPoint, clock_hz: float) -> Link:
    """Return a decoy-state BB84 link."""
    expected, key_length = bb84.expected_counts(point), partial(bb84.key_length, point)
    return Link("bb84", clock_hz, round(point.pulses), expected, key_length)


def preshared_keys(num_blocks: int, random_bytes: RandomBytes = os.urandom) -> AuthKeys:
    """Return what two ends must share before their first block; successful blocks refill it."""
    return tuple(KeyMaterial(random_bytes(AUTH_KEY_BYTES)) for _ in range(num_blocks))


def draw_counts(link: Link, rng: np.random.Generator, intercepted: float = 0.0) -> Counts:
    """Draw a block's counters.

    Args:
        link: The link.
        rng: Randomness of the physics.
        intercepted: Share of the pulses that an eavesdropper measures and resends, 0..1.
    """
    key, key_errors, test, test_errors = link.expected
    clicks = np.array(key + test)
    gains, errors = clicks / link.pulses, np.zeros(len(clicks))
    np.divide(key_errors + test_errors, clicks, out=errors, where=clicks > 0)
    errors = (1 - intercepted) * errors + intercepted * (errors + 0.5) / 2
    drawn = rng.multinomial(link.pulses, np.append(gains, 1 - gains.sum()))[:-1]
    wrong = rng.binomial(drawn, errors)
    half = len(key)
    parts = (drawn[:half], wrong[:half], drawn[half:], wrong[half:])
    return Counts(*(tuple(map(float, part)) for part in parts))


def distil_block(
    link: Link,
    counts: Counts,
    auth_keys: AuthKeys,
    rng: np.random.Generator,
    *,
    random_bytes: RandomBytes = os.urandom,
    wire: Wire = honest_wire,
) -> tuple[DistilledBlock, AuthKeys]:
    """Make raw bits for a block's counters and run the whole post-processing on them.

    Args:
        link: The link.
        counts: From `draw_counts`.
        auth_keys: Keys for authentication; the first is used up.
        rng: Randomness of the physics.
        random_bytes: Source of raw bits and public seeds; not `os.urandom` in tests only.
        wire: The public channel.

    Returns:
        The block, and the keys for the next one: a block that succeeds puts back as many bits as it
        used up, and its key is shorter by that.
    """
    alarm = early_alarm(link, counts) or (None if auth_keys else Alarm.NO_AUTHENTICATION_KEY)
    if alarm is not None:
        return _failed(alarm, 0), auth_keys
    alice, bob = _raw_bits(counts, rng, random_bytes)
    result = distil(
        alice,
        bob,
        counts.test_error,
        lambda disclosed: link.key_length(counts, float(disclosed)).whole_bits,
        auth_keys[0],
        random_bytes,
        wire,
    )
    if result.alarm is not None:
        return _failed(result.alarm, result.disclosed_bits), auth_keys[1:]
    return _finished(auth_keys, result.key, result.disclosed_bits, really=True)


def draw_block(
    link: Link,
    counts: Counts,
    auth_keys: AuthKeys,
    efficiency: float,
    *,
    random_bytes: RandomBytes = os.urandom,
) -> tuple[DistilledBlock, AuthKeys]:
    """Draw the key of a block instead of distilling it; otherwise as `distil_block`.

    Its length is that of a distilled one with error correction at f = `efficiency`, as measured on
    blocks that were really distilled.
    """
    alarm = early_alarm(link, counts) or (None if auth_keys else Alarm.NO_AUTHENTICATION_KEY)
    if alarm is not None:
        return _failed(alarm, 0), auth_keys
    leak = leaked_bits(counts, efficiency)
    key = KeyMaterial(random_bytes(link.key_length(counts, float(leak)).whole_bits // 8))
    return _finished(auth_keys, key, leak, really=False)


def leaked_bits(counts: Counts, efficiency: float) -> int:
    """Return what error correction at f = `efficiency` discloses."""
    return round(efficiency * counts.num_raw * binary_entropy(counts.key_error))


def net_bytes(link: Link, counts: Counts, efficiency: float = 1.16) -> int:
    """Return the key to expect from counters, authentication deducted."""
    bits = link.key_length(counts, float(leaked_bits(counts, efficiency))).whole_bits
    return max(0, bits // 8 - AUTH_KEY_BYTES)


def early_alarm(link: Link, counts: Counts) -> Alarm | None:
    """Return what the counters alone show to be wrong."""
    if intrusion(link, counts):
        return Alarm.INTRUSION
    return None if link.key_length(counts, 0.0).whole_bits > 0 else Alarm.NO_KEY


def intrusion(link: Link, counts: Counts) -> bool:
    """Whether test errors are too many to be chance: n KL(e, e_calibrated) > ln(1/prob)."""
    seen, usual, size = counts.test_error, link.expected.test_error, sum(counts.test)
    if seen <= usual:
        return False
    divergence = seen * log(seen / usual)
    if seen < 1:
        divergence += (1 - seen) * log((1 - seen) / (1 - usual))
    return size * divergence > log(1 / FALSE_ALARM_PROB)


def _raw_bits(
    counts: Counts, rng: np.random.Generator, random_bytes: RandomBytes
) -> tuple[UInt8[np.ndarray, " bits"], UInt8[np.ndarray, " bits"]]:
    """Return Alice's bits, and Bob's with as many of them flipped as there are errors."""
    size = int(counts.num_raw)
    drawn = np.frombuffer(random_bytes(-(-size // 8)), np.uint8)
    alice = np.unpackbits(drawn, count=size)
    bob = alice.copy()
    bob[rng.choice(size, int(sum(counts.key_errors)), replace=False, shuffle=False)] ^= 1
    return alice, bob


def _finished(
    auth_keys: AuthKeys, key: KeyMaterial, disclosed: int, *, really: bool
) -> tuple[DistilledBlock, AuthKeys]:
    """Put part of a new key back for authentication and hand out the rest."""
    secret = key.reveal()
    if len(secret) <= AUTH_KEY_BYTES:
        return _failed(Alarm.NO_KEY, disclosed), auth_keys[1:]
    refill, rest = KeyMaterial(secret[:AUTH_KEY_BYTES]), KeyMaterial(secret[AUTH_KEY_BYTES:])
    return DistilledBlock(rest, disclosed, really, None), (*auth_keys[1:], refill)


def _failed(alarm: Alarm, disclosed: int) -> DistilledBlock:
    return DistilledBlock(KeyMaterial(b""), disclosed, disclosed > 0, alarm)
