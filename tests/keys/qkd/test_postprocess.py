import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qkd_parts import raw_bits, seeded

from fedket.keys.material import KeyMaterial
from fedket.keys.qkd import postprocess
from fedket.keys.qkd.conversation import (
    Conversation,
    ConversationError,
    honest_wire,
    one_time_tag,
)
from fedket.keys.qkd.postprocess import AUTH_KEY_BYTES, Alarm, distil

NUM_BITS = 1500


def distilled(wire=honest_wire, error_rate=0.02, secret_bits=lambda _: 400, seed=0):
    alice, bob = raw_bits(NUM_BITS, error_rate, seed)
    auth_key = KeyMaterial(seeded(seed)(AUTH_KEY_BYTES))
    return distil(alice, bob, error_rate, secret_bits, auth_key, seeded(seed), wire)


class Tap:
    """A wire that counts messages and flips one bit of one of them."""

    def __init__(self, message=None, position=0):
        self.messages, self._message, self._position = [], message, position

    def __call__(self, sender, message):
        number = len(self.messages)
        self.messages.append((sender, message))
        if number != self._message or not message:
            return message
        altered = bytearray(message)
        bit = self._position % (8 * len(message))
        altered[bit // 8] ^= 1 << bit % 8
        return bytes(altered)


def test_an_honest_block_gives_the_key_that_the_proof_allows():
    asked = []
    result = distilled(secret_bits=lambda disclosed: asked.append(disclosed) or 403)
    assert result.alarm is None
    assert len(result.key) == 50  # whole bytes
    assert asked == [result.disclosed_bits]


def test_the_key_is_a_function_of_bits_and_public_seed_only():
    assert distilled().key == distilled().key
    assert distilled().key != distilled(seed=1).key


@settings(max_examples=25)
@given(share=st.floats(0, 1), position=st.integers(0, 2**20))
def test_whatever_bit_of_the_conversation_is_flipped_no_key_comes_out(share, position):
    honest = Tap()
    distilled(honest)
    target = min(int(share * len(honest.messages)), len(honest.messages) - 1)
    result = distilled(Tap(target, position))
    assert result.alarm is Alarm.AUTHENTICATION_FAILED
    assert len(result.key) == 0


@pytest.mark.parametrize("sender", ["alice", "bob"])
def test_a_message_of_another_length_is_noticed(sender):
    result = distilled(lambda s, message: message + b"!" if s == sender else message)
    assert result.alarm is Alarm.AUTHENTICATION_FAILED


def test_bits_that_still_differ_are_noticed(monkeypatch):
    def careless(alice, bob, *rest):
        fixed = honest(alice, bob, *rest)
        fixed.bits[7] ^= 1
        return fixed

    honest = postprocess.reconcile
    monkeypatch.setattr(postprocess, "reconcile", careless)
    result = distilled()
    assert (result.alarm, len(result.key)) == (Alarm.VERIFICATION_FAILED, 0)


def test_correction_that_does_not_finish_gives_no_key(monkeypatch):
    honest = postprocess.reconcile
    monkeypatch.setattr(postprocess, "reconcile", lambda *a: honest(*a)._replace(complete=False))
    assert distilled().alarm is Alarm.CORRECTION_FAILED


@pytest.mark.parametrize("bits", [0, 7])
def test_less_than_a_byte_of_secret_is_no_key(bits):
    result = distilled(secret_bits=lambda _: bits)
    assert (result.alarm, len(result.key)) == (Alarm.NO_KEY, 0)


def test_raw_bits_and_key_are_never_said():
    tap = Tap()
    result = distilled(tap)
    alice, bob = raw_bits(NUM_BITS, 0.02, 0)
    said = b"".join(message for _, message in tap.messages)
    for secret in (np.packbits(alice).tobytes(), np.packbits(bob).tobytes(), result.key.reveal()):
        assert all(secret[i : i + 8] not in said for i in range(len(secret) - 8))


def test_tags_of_the_two_directions_are_apart():
    talk = Conversation(KeyMaterial(b"a" * 32), KeyMaterial(b"b" * 32))
    assert talk.say("alice", b"one") == b"one"
    assert talk.say("bob", b"two") == b"two"
    assert talk.tags_agree()


@pytest.mark.parametrize("heard", [[b"ab", b"c"], [b"abc", b""]])
def test_messages_cannot_be_cut_elsewhere(heard):
    replies = iter(heard)
    talk = Conversation(KeyMaterial(b"a" * 32), KeyMaterial(b"b" * 32), lambda _, m: next(replies))
    for message in (b"a", b"bc"):
        with pytest.raises(ConversationError):
            talk.say("alice", message)


def test_a_tag_is_poly1305():
    # RFC 8439, section 2.5.2.
    key = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
    tag = one_time_tag(KeyMaterial(key), b"Cryptographic Forum Research Group")
    assert tag.hex() == "a8061dc1305136c6c22b8baf0c0127a9"
