import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qkd_parts import SMALL_LINK, auth_keys, seeded

from fedket.keys.qkd.blocks import binary_entropy
from fedket.keys.qkd.link import (
    distil_block,
    draw_block,
    draw_counts,
    early_alarm,
    intrusion,
    net_bytes,
)
from fedket.keys.qkd.network import optimised_link
from fedket.keys.qkd.postprocess import AUTH_KEY_BYTES, Alarm

BB84_LINK = optimised_link((6.0, 6.0), "bb84", pulses=1e8)
LINKS = {"mdi": SMALL_LINK, "bb84": BB84_LINK}


def block(link=SMALL_LINK, seed=0, intercepted=0.0, **options):
    """The counters of a block, what it gave, and the keys for the next."""
    rng = np.random.default_rng(seed)
    counts = draw_counts(link, rng, intercepted)
    found, keys = distil_block(link, counts, auth_keys(), rng, random_bytes=seeded(seed), **options)
    return counts, found, keys


@pytest.mark.parametrize("protocol", LINKS)
def test_a_quiet_link_gives_the_planned_key_at_both_ends(protocol):
    link = LINKS[protocol]
    counts, found, keys = block(link)
    assert found.alarm is None
    assert found.really_distilled
    assert link.block_seconds == link.pulses / 1e8
    # Planned at f = 1.16; Cascade discloses less, so there is more key than planned.
    planned = net_bytes(link, counts, 1.16)
    assert planned < len(found.key) < 1.25 * planned
    assert 8 * planned == pytest.approx(link.planned_bits(), rel=0.2)
    assert found.disclosed_bits < 1.1 * counts.num_raw * binary_entropy(counts.key_error)
    assert len(keys) == 4


def test_every_bit_is_paid_for():
    counts, found, keys = block()
    bound = SMALL_LINK.key_length(counts, float(found.disclosed_bits))
    assert len(found.key) == bound.whole_bits // 8 - AUTH_KEY_BYTES
    assert keys[:3] == auth_keys()[1:]
    assert len(keys[3]) == AUTH_KEY_BYTES
    assert keys[3] not in auth_keys()


def test_raw_bits_come_from_the_operating_system_unless_a_test_says_otherwise(monkeypatch):
    rng = np.random.default_rng
    counts = draw_counts(SMALL_LINK, rng(0))
    assert counts == draw_counts(SMALL_LINK, rng(0))  # the physics are a function of their seed
    one, two = (distil_block(SMALL_LINK, counts, auth_keys(), rng(0))[0] for _ in range(2))
    assert one.key != two.key
    assert block(seed=3)[1].key == block(seed=3)[1].key


@pytest.mark.parametrize("protocol", LINKS)
def test_an_eavesdropper_on_all_pulses_ends_in_an_abort_without_key(protocol):
    link = LINKS[protocol]
    counts, found, keys = block(link, intercepted=1.0)
    assert counts.test_error > 0.24
    assert counts.key_error > 0.24
    assert found.alarm is Alarm.INTRUSION
    assert len(found.key) == 0
    assert keys == auth_keys()


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_tapping_a_part_of_the_pulses_is_noticed_as_well(share):
    assert block(intercepted=share)[1].alarm is Alarm.INTRUSION


@given(seed=st.integers(0, 2**31 - 1))
def test_an_untouched_link_raises_no_alarm(seed):
    # Each of the alarms has probability < 1e-12 per block.
    for link in LINKS.values():
        counts = draw_counts(link, np.random.default_rng(seed))
        assert not intrusion(link, counts)
        assert early_alarm(link, counts) is None


def test_counts_have_the_distribution_of_the_physics():
    rng = np.random.default_rng(1)
    drawn = np.array([np.concatenate(draw_counts(BB84_LINK, rng)) for _ in range(400)])
    expected = np.concatenate(BB84_LINK.expected)
    spread = np.sqrt(expected / 400)
    # 12 means, each within 8 standard deviations: fails with probability < 1e-13.
    assert np.all(np.abs(drawn.mean(axis=0) - expected) < 8 * spread + 1e-9)
    assert np.allclose(drawn.var(axis=0), expected, rtol=0.5, atol=1)


def test_more_tapping_more_errors():
    errors = [
        draw_counts(BB84_LINK, np.random.default_rng(2), share).test_error
        for share in (0.0, 0.3, 0.6, 1.0)
    ]
    assert errors == sorted(errors)
    usual = BB84_LINK.expected.test_error
    assert errors[-1] == pytest.approx((usual + 0.5) / 2, rel=0.1)


def test_a_block_too_small_for_its_loss_gives_no_key_and_says_so():
    link = optimised_link((15.0, 15.0), pulses=1e6)
    assert link.planned_bits() == 0
    assert block(link)[1].alarm is Alarm.NO_KEY


def test_without_authentication_key_nothing_is_said():
    rng = np.random.default_rng(0)
    found, keys = distil_block(SMALL_LINK, draw_counts(SMALL_LINK, rng), (), rng)
    assert (found.alarm, len(found.key), keys) == (Alarm.NO_AUTHENTICATION_KEY, 0, ())


def test_a_disturbed_conversation_uses_up_authentication_key():
    def wire(_sender, message):
        return bytes(len(message))

    _, found, keys = block(wire=wire)
    assert found.alarm is Alarm.AUTHENTICATION_FAILED
    assert len(found.key) == 0
    assert keys == auth_keys()[1:]


def test_a_drawn_key_has_the_length_of_a_distilled_one_and_is_marked():
    counts = draw_counts(SMALL_LINK, np.random.default_rng(0))
    real, _ = distil_block(SMALL_LINK, counts, auth_keys(), np.random.default_rng(1))
    efficiency = real.disclosed_bits / counts.num_raw / binary_entropy(counts.key_error)
    drawn, keys = draw_block(SMALL_LINK, counts, auth_keys(), efficiency)
    assert len(drawn.key) == len(real.key)
    assert real.really_distilled
    assert not drawn.really_distilled
    assert drawn.key != real.key
    assert len(keys) == 4
    assert net_bytes(SMALL_LINK, counts, efficiency) == len(drawn.key)
    tapped = draw_counts(SMALL_LINK, np.random.default_rng(0), 1.0)
    nothing, _ = draw_block(SMALL_LINK, tapped, auth_keys(), efficiency)
    assert (nothing.alarm, len(nothing.key)) == (Alarm.INTRUSION, 0)


def test_nothing_shows_the_key(monkeypatch):
    secret = b"a key that nobody may read "
    monkeypatch.setattr(os, "urandom", lambda n: (secret * n)[:n])
    counts = draw_counts(SMALL_LINK, np.random.default_rng(0))
    found, keys = draw_block(
        SMALL_LINK, counts, auth_keys(), 1.05, random_bytes=lambda n: (secret * n)[:n]
    )
    shown = repr(found) + repr(keys) + str(found)
    assert "hidden" in shown
    for disguise in (secret[:8].decode(), secret[:8].hex(), str(list(secret[:8]))[1:-1]):
        assert disguise not in shown
