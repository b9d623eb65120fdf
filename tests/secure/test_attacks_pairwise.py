"""The attacks on Protocol A: each works on the naive variant and fails on ours.

Numbers are those of the list in spec/secure-aggregation.md. Attack 5 by all but one must succeed.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairwise_parts import (
    OnePadForever,
    Recorder,
    Wire,
    asked_up_to_upload,
    low_bits,
    ring_sum,
    updates_of,
    upload,
)
from scipy.stats import chi2

from fedket.errors import KeyReusedError, ProtocolError
from fedket.keys.ledger import PadState
from fedket.keys.os_random import OsRandomSource
from fedket.secure.phases import Failure
from fedket.secure.quantise import dequantise, headroom, quantise, safe
from fedket.secure.words import nearest_integers, to_words, unpack_words

IDS = (0, 1, 2, 3)
seeds = given(seed=st.integers(0, 2**31 - 1))


@seeds
@settings(deadline=None, max_examples=10)
def test_1_one_pad_in_two_rounds_gives_away_the_difference_of_updates(seed):
    ids, seen = (1, 2), []
    pad = np.random.default_rng(seed).bytes(26)
    rounds = [updates_of(seed, ids), updates_of(seed + 1, ids)]
    states = None
    for round_num, updates in enumerate(rounds, start=1):
        handlers, states = asked_up_to_upload(ids, OnePadForever(pad), updates, round_num, states)
        outcome, states[1] = handlers[1]("upload", upload(ids, round_num=round_num), states[1])
        seen.append(unpack_words(outcome.payload["words"], 13, 16))
    np.testing.assert_array_equal(seen[0] - seen[1], rounds[0][1] - rounds[1][1])


def test_1_our_source_refuses_the_pad_of_a_round_a_second_time():
    ids, source = (1, 2), OsRandomSource()
    handlers, states = asked_up_to_upload(ids, source, updates_of(1, ids))
    for i in ids:
        handlers[i]("upload", upload(ids), states[i])
    with pytest.raises(KeyReusedError):
        source.spend(1, 1, (1, 2), 0, 26)
    forgetful, _ = handlers[1]("upload", upload(ids), states[1])  # a state rolled back
    assert isinstance(forgetful, Failure)
    assert "used once" in forgetful.reason


def flip_a_bit(client_id, action, kind, payload):
    """Change one word of client 2's masked update."""
    if (client_id, action, kind) != (2, "upload", "answer"):
        return payload
    words = payload["words"]
    return {**payload, "words": bytes([words[0] ^ 1]) + words[1:]}


def cut_off(client_id, action, kind, payload):
    """Truncate client 2's masked update."""
    if (client_id, action, kind) != (2, "upload", "answer"):
        return payload
    return {**payload, "words": payload["words"][:-2]}


def shift_the_pad(client_id, action, kind, payload):
    """Tell the server another offset of client 0's pad with client 1."""
    if (client_id, action, kind) != (0, "reserve", "answer"):
        return payload
    first, *others = payload["offsets"]
    return {**payload, "offsets": [first + 26, *others]}


class Swap:
    """Deliver client 3's upload as client 1's, and client 1's as client 3's.

    In process, answers come one after the other: the attack gives 3 what it kept of 1, and 1 what
    3 sent the round before.
    """

    def __init__(self):
        self.seen = {}

    def __call__(self, client_id, action, kind, payload):
        if kind == "request" or action != "upload" or client_id not in (1, 3):
            return payload
        self.seen[client_id] = payload
        return self.seen.get(4 - client_id, payload)


class Replay:
    """Deliver what client 2 uploaded the first time, whatever it says later."""

    def __init__(self):
        self.first = {}

    def __call__(self, client_id, action, kind, payload):
        if (client_id, action, kind) != (2, "upload", "answer"):
            return payload
        self.first = self.first or payload
        return self.first


def test_2_a_flipped_bit_goes_unnoticed_without_a_mac():
    updates = updates_of(1, IDS)
    result = Wire(updates, OsRandomSource(), mac=False, attack=flip_a_bit).run()
    assert np.count_nonzero(result.words - ring_sum(updates)) == 1


@pytest.mark.parametrize("attack", [flip_a_bit, cut_off])
def test_2_with_a_mac_an_altered_upload_is_rejected_named_and_ends_the_round(attack):
    updates, source = updates_of(1, IDS), OsRandomSource()
    wire = Wire(updates, source, attack=attack)
    with pytest.raises(ProtocolError, match=r"client 2 was ready .*fails its MAC.*round is lost"):
        wire.run(1)
    assert source.ledger.totals().reserved == 0
    wire.attack = lambda *message: message[3]
    np.testing.assert_array_equal(low_bits(wire.run(2).words, 16), ring_sum(updates))


def test_3_a_replayed_upload_goes_unnoticed_without_a_mac_and_not_with_one():
    updates = updates_of(1, IDS)
    naive = Wire(updates, OsRandomSource(), mac=False, attack=Replay())
    np.testing.assert_array_equal(naive.run(1).words, ring_sum(updates))
    assert (naive.run(2).words != ring_sum(updates)).any()
    ours = Wire(updates, OsRandomSource(), attack=Replay())
    np.testing.assert_array_equal(ours.run(1).words, ring_sum(updates))
    with pytest.raises(ProtocolError, match=r"client 2 was ready in round 2 .*fails its MAC"):
        ours.run(2)


def test_3_the_upload_of_another_client_is_not_taken_for_ones_own():
    """Without a MAC the swap is harmless to the sum, which is why it must be seen to be refused."""
    naive = Wire(updates_of(1, IDS), OsRandomSource(), mac=False, attack=Swap())
    naive.run(1)
    with pytest.raises(ProtocolError, match=r"client 3 was ready .*fails its MAC"):
        Wire(updates_of(1, IDS), OsRandomSource(), attack=Swap()).run(1)


def test_3_old_pieces_of_an_upload_are_not_taken_for_new_ones():
    """The first piece again in place of the second: same round, sender and length."""
    updates = updates_of(1, IDS)
    naive = Wire(updates, OsRandomSource(), mac=False, attack=Replay())
    pieces = {"chunk_words": 8}
    with pytest.raises(ProtocolError, match="5 words of 16 bits are 10 bytes, got 16"):
        naive.run(1, **pieces)
    with pytest.raises(ProtocolError, match=r"client 2 was ready in round 1 .*fails its MAC"):
        Wire(updates, OsRandomSource(), attack=Replay()).run(1, **pieces)


def test_a_forged_announcement_burns_pads_and_spoils_the_sum_without_a_mac_only():
    """With one the client whose announcement it is drops out, and no pad is touched."""
    updates, source = updates_of(1, IDS), OsRandomSource()
    spoilt = Wire(updates, source, mac=False, attack=shift_the_pad).run()
    assert (spoilt.words != ring_sum(updates)).any()
    assert source.ledger.totals().burned == 26
    source = OsRandomSource()
    result = Wire(updates, source, attack=shift_the_pad).run()
    assert result.members == (1, 2, 3)
    np.testing.assert_array_equal(low_bits(result.words, 16), ring_sum({**updates, 0: None}))
    assert source.ledger.state(1, 1, (0, 1)) is PadState.AVAILABLE


FORGED = {
    "reserve": {"cohort": [0, 1], "degree": 1},
    "ready": {"senders": [], "offsets": []},
    "upload": {"members": [0, 1]},
}


def tell_client_1_otherwise(client_id, action, kind, payload):
    """Change what the server tells client 1."""
    if kind == "answer" or client_id != 1:
        return payload
    return {**payload, **FORGED.get(action, {})}


@pytest.mark.parametrize("action", FORGED)
def test_what_the_server_says_cannot_be_altered_on_the_way(action):
    """An outsider who could choose the members for each client would read sums of groups."""

    def attack(client_id, heard, kind, payload):
        if heard != action:
            return payload
        return tell_client_1_otherwise(client_id, heard, kind, payload)

    wire = Wire(updates_of(1, IDS), OsRandomSource(), attack=attack)
    if action == "upload":
        with pytest.raises(ProtocolError, match=r"from the server to client 1 .* fails its MAC"):
            wire.run()
    else:
        assert wire.run().members == (0, 2, 3)


def test_without_a_mac_an_outsider_splits_the_members_and_reads_sums_of_groups():
    """Who tells clients 0 and 1 that they are alone sees their masks cancel."""
    updates, seen = updates_of(1, IDS), {}

    def split(client_id, action, kind, payload):
        if action == "upload" and kind == "answer":
            seen[client_id] = unpack_words(payload["words"], 13, 16)
        if action == "upload" and kind == "request":
            return {**payload, "members": [0, 1] if client_id < 2 else [2, 3]}
        return payload

    Wire(updates, OsRandomSource(), mac=False, attack=split).run()
    np.testing.assert_array_equal(seen[0] + seen[1], updates[0] + updates[1])


@seeds
@settings(deadline=None, max_examples=10)
def test_4_masking_the_same_update_again_in_another_group_leaks_the_one_who_left(seed):
    """The naive retry: client 3 is late, the server repeats the round without it.

    The others mask the same updates with fresh pads, then 3's upload of the first try arrives; the
    difference of the two sums is its update.
    """
    updates, source = updates_of(seed, IDS), OsRandomSource()
    everyone = Wire(updates, source, mac=False).run(1)
    others = Wire({i: updates[i] for i in IDS[:3]}, source, mac=False).run(2)
    np.testing.assert_array_equal(everyone.words - others.words, updates[3])


def test_4_ours_never_masks_in_a_round_again_and_a_late_upload_opens_nothing():
    updates, source = updates_of(5, IDS), OsRandomSource()
    late = []

    def delay(client_id, action, kind, payload):
        if (client_id, action, kind) != (3, "upload", "answer"):
            return payload
        late.append(unpack_words(payload["words"], 13, 16))
        return {}

    wire = Wire(updates, source, mac=False, attack=delay)
    with pytest.raises(ProtocolError, match="client 3 was ready"):
        wire.run(1)
    assert len(late) == 1
    wire.attack = lambda *message: message[3]
    for _ in range(2):
        with pytest.raises(ProtocolError, match="fewer than 2 clients"):
            wire.run(1)
    with pytest.raises(KeyReusedError):
        source.spend(1, 0, (0, 3), 0, 26)
    assert source.ledger.totals().reserved == 0


def test_4_a_retried_request_gets_the_same_bytes():
    """What an engine may repeat, it may repeat as often as it likes; the sum is not harmed."""
    updates = updates_of(5, IDS)
    wire = Wire(updates, OsRandomSource())
    once = wire.handlers[1]

    def asked_thrice(action, payload, state):
        first, state = once(action, payload, state)
        updates[1] = updates[1] + 1  # whatever happens to the update meanwhile
        for _ in range(2):
            again, same = once(action, dict(payload), state)
            assert again == first
            assert same is state
        return first, state

    expected = ring_sum(updates)
    wire.handlers[1] = asked_thrice
    heard_at_ready = wire.run().words - expected
    np.testing.assert_array_equal(heard_at_ready, 1)  # once: READY fixed it


def seen_by_the_server(ids, updates, keys, **options):
    handlers, states = asked_up_to_upload(ids, keys, updates, **options)
    return {
        i: unpack_words(
            handlers[i]("upload", upload(ids, len(updates[i])), states[i])[0].payload["words"],
            len(updates[i]),
            16,
        )
        for i in ids
    }


def stripped(seen, keys, victim, colluders):
    """What is left of an upload when colluders take off the pads they share with its sender."""
    words = seen[victim].copy()
    for (_, (sender, receiver)), pieces in keys.pads.items():
        pad = unpack_words(b"".join(pieces), len(words), 16)
        if victim == sender and receiver in colluders:
            words -= pad
        if victim == receiver and sender in colluders:
            words += pad
    return words


def test_5_all_but_one_colluding_learn_everything():
    """As in any exact sum: it is the sum less what they put in themselves."""
    keys, updates = Recorder(), updates_of(11, IDS)
    seen = seen_by_the_server(IDS, updates, keys)
    np.testing.assert_array_equal(stripped(seen, keys, 0, [1, 2, 3]), updates[0])


def test_5_fewer_learn_only_the_sum_of_the_others():
    """What is left of two honest uploads is uniform, and only their sum is the updates'.

    Chi-square over the low bytes, with all updates zero; fails once in 10^12 runs.
    """
    keys = Recorder()
    updates = {i: np.zeros(2**16, np.uint16) for i in IDS}
    seen = seen_by_the_server(IDS, updates, keys)
    left = {i: stripped(seen, keys, i, [2, 3]) for i in (0, 1)}
    assert not (left[0] + left[1]).any()
    for words in left.values():
        counts = np.bincount(words & 0xFF, minlength=256)
        statistic = ((counts - 256) ** 2 / 256).sum()
        assert statistic < chi2.isf(1e-12, 255)


def test_who_knows_all_pads_reads_every_upload():
    """A key manager has handed them out: what it sees on the network hides nothing from it."""
    keys, updates = Recorder(), updates_of(12, IDS)
    seen = seen_by_the_server(IDS, updates, keys)
    for i in IDS:
        assert (seen[i] != updates[i]).any()
        np.testing.assert_array_equal(stripped(seen, keys, i, IDS), updates[i])


def test_5_on_a_ring_of_neighbours_colluders_around_a_client_learn_its_update():
    """Why the ring is in an order nobody chose, and k is large: here k = 2 and two collude."""
    ids, keys = tuple(range(9)), Recorder()
    updates = updates_of(3, ids)
    seen = seen_by_the_server(ids, updates, keys, degree=2, graph_seed=b"7")
    neighbours = {i for (_, pair) in keys.pads for i in pair if 4 in pair} - {4}
    assert len(neighbours) == 2
    np.testing.assert_array_equal(stripped(seen, keys, 4, neighbours), updates[4])
    one = neighbours.pop()
    assert (stripped(seen, keys, 4, {one}) != updates[4]).any()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("num_clients", [2, 5, 17])
def test_8_the_sum_of_everyone_at_the_maximum_does_not_overflow(num_clients, bits, sign):
    shares = [1 / num_clients] * num_clients
    noise = np.full(13, 0 if sign > 0 else 2**32 - 1, np.uint32)  # every rounding goes outwards
    for quantiser in (headroom(bits, 1.0, shares), safe(bits, 1.0, shares)):
        width, values = quantiser.word_bits, np.full(13, sign / num_clients)
        update = quantise(quantiser, values, 1 / num_clients, noise).integers
        updates = dict.fromkeys(range(num_clients), to_words(update, width))
        wire = Wire(updates, OsRandomSource())
        total = nearest_integers(wire.run(word_bits=width).words, width)
        tolerance = num_clients / quantiser.scale + 1e-6
        np.testing.assert_allclose(dequantise(quantiser, total), sign, rtol=0, atol=tolerance)


def test_8_naive_words_without_room_for_the_sum_overflow():
    """Eight clients at the maximum of an 8-bit value, in 8-bit words: 8 * 127 = -8 mod 256."""
    quantiser = headroom(8, 1.0, [1.0])._replace(scale=127.0)
    update = quantise(quantiser, np.ones(13), 1.0, np.zeros(13, np.uint32)).integers
    wire = Wire(dict.fromkeys(range(8), to_words(update, 8)), OsRandomSource())
    total = dequantise(quantiser, nearest_integers(wire.run(word_bits=8).words, 8))
    np.testing.assert_allclose(total, np.float32(-8 / 127))
