"""From raw bits to key: correction, verification, privacy amplification, authentication.

These steps really run on the bits and are the ones real hardware runs; only the bits come from a
simulation. Both ends live in one process, so the last step, the same function of the same verified
bits and the same public seed, is computed once for both.
"""

import enum
import hmac
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from fedket.keys.material import KeyMaterial
from fedket.keys.qkd.cascade import reconcile
from fedket.keys.qkd.conversation import (
    MAC_KEY_BYTES,
    Conversation,
    ConversationError,
    Wire,
    honest_wire,
    one_time_tag,
)
from fedket.keys.qkd.toeplitz import amplify, seed_length

Bits = UInt8[np.ndarray, " _"]

AUTH_KEY_BYTES = 3 * MAC_KEY_BYTES
"""One-time key that a block uses up: a tag per direction, and the verification tag."""


class Alarm(enum.Enum):
    """Why a block was given up; its value says it to people."""

    INTRUSION = "test errors far above the calibration: somebody listens, or the link is broken"
    NO_KEY = "errors and block size leave no secret bits"
    CORRECTION_FAILED = "error correction did not finish"
    VERIFICATION_FAILED = "the corrected bits of the two ends differ"
    AUTHENTICATION_FAILED = "messages of the two ends were altered on the way"
    NO_AUTHENTICATION_KEY = "no key left to authenticate the conversation of the two ends"


class Distilled(NamedTuple):
    """What distillation leaves.

    Attributes:
        key: The key in whole bytes, the same at both ends; empty after an alarm.
        disclosed_bits: Parities that Alice announced.
        alarm: Why there is no key, or None.
    """

    key: KeyMaterial
    disclosed_bits: int
    alarm: Alarm | None


def distil(
    alice: UInt8[np.ndarray, " bits"],
    bob: UInt8[np.ndarray, " bits"],
    error_rate: float,
    secret_bits: Callable[[int], int],
    auth_key: KeyMaterial,
    random_bytes: Callable[[int], bytes],
    wire: Wire = honest_wire,
) -> Distilled:
    """Turn raw bits into a key.

    Args:
        alice: Alice's raw bits, 0 or 1, shape (n,).
        bob: Bob's raw bits, some of them wrong.
        error_rate: Estimate of the share of wrong bits, from the test basis.
        secret_bits: Bits disclosed -> whole bits of key that the security proof leaves.
        auth_key: `AUTH_KEY_BYTES` of key shared before, used for this block only.
        random_bytes: Source of the public seeds.
        wire: The public channel.
    """
    secret = auth_key.reveal()
    keys = [
        KeyMaterial(secret[i : i + MAC_KEY_BYTES]) for i in range(0, len(secret), MAC_KEY_BYTES)
    ]
    talk = Conversation(keys[0], keys[1], wire)
    disclosed = 0
    try:
        seed = int.from_bytes(talk.say("alice", random_bytes(8)), "little")
        fixed = reconcile(alice, bob, error_rate, seed, talk)
        disclosed = fixed.disclosed
        alarm = None if fixed.complete else Alarm.CORRECTION_FAILED
        if alarm is None and not _same(alice, fixed.bits, keys[2], talk):
            alarm = Alarm.VERIFICATION_FAILED
        key_bytes = 0 if alarm else secret_bits(disclosed) // 8
        if alarm is None and key_bytes == 0:
            alarm = Alarm.NO_KEY
        key = _amplified(fixed.bits, 8 * key_bytes, talk, random_bytes)
        if not talk.tags_agree():
            alarm = Alarm.AUTHENTICATION_FAILED
    except ConversationError:
        alarm = Alarm.AUTHENTICATION_FAILED
    if alarm is not None:
        key = KeyMaterial(b"")
    return Distilled(key, disclosed, alarm)


def _same(alice: Bits, bob: Bits, key: KeyMaterial, talk: Conversation) -> bool:
    """Compare the two ends' bits by a tag whose one-time key hides them."""
    heard = talk.say("alice", one_time_tag(key, np.packbits(alice).tobytes()))
    same = hmac.compare_digest(heard, one_time_tag(key, np.packbits(bob).tobytes()))
    return bool(talk.say("bob", bytes([same]))[0]) and same


def _amplified(
    bits: Bits, key_bits: int, talk: Conversation, random_bytes: Callable[[int], bytes]
) -> KeyMaterial:
    """Announce a Toeplitz matrix and apply it."""
    if key_bits == 0:
        return KeyMaterial(b"")
    length = seed_length(len(bits), key_bits)
    heard = talk.say("alice", random_bytes(-(-length // 8)))
    seed = np.unpackbits(np.frombuffer(heard, np.uint8), count=length)
    return KeyMaterial(np.packbits(amplify(bits, seed, key_bits)).tobytes())
