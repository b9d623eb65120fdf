"""Protocol A: what it computes, what it hides and what it does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairwise_parts import (
    OnePadForever,
    Recorder,
    asked_up_to_upload,
    fresh,
    handlers_of,
    low_bits,
    ring_sum,
    updates_of,
    upload,
)
from scipy.stats import chi2

from fedket.errors import KeyReusedError
from fedket.keys.ledger import PadState
from fedket.keys.os_random import OsRandomSource
from fedket.secure.pairwise import pairwise_server
from fedket.secure.pairwise_client import Stage
from fedket.secure.phases import Failure, Reply, drive
from fedket.secure.words import packed_size, unpack_words

seeds = given(seed=st.integers(0, 2**31 - 1))


@pytest.mark.parametrize("num_clients", [2, 3, 5, 17])
@pytest.mark.parametrize("word_bits", [4, 8, 16, 21, 32, 50])
@settings(deadline=None, max_examples=3)
@seeds
def test_masks_cancel_and_the_sum_survives(num_clients, word_bits, seed):
    ids = tuple(range(3, 3 + 2 * num_clients, 2))
    updates, source = updates_of(seed, ids, 13, word_bits), OsRandomSource()
    server = pairwise_server(1, ids, 13, word_bits)
    result = drive(server, handlers_of(updates, source), fresh(ids))
    num_pairs = num_clients * (num_clients - 1) // 2
    np.testing.assert_array_equal(low_bits(result.words, word_bits), ring_sum(updates, word_bits))
    assert result.members == ids
    assert result.upload_bytes == num_clients * packed_size(13, word_bits)
    assert result.key_bits == num_pairs * 8 * packed_size(13, word_bits)
    assert source.ledger.totals() == (0, result.key_bits // 4, 0)


@pytest.mark.parametrize("chunk_words", [8, 16, 24, 48])
@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 2**31 - 1), order=st.randoms())
def test_neither_pieces_nor_the_order_of_answers_change_the_sum(chunk_words, seed, order):
    ids = (1, 4, 6, 9)
    updates = updates_of(seed, ids, 41, 21)

    def shuffled(server):
        phase = next(server)
        while True:
            turns = list(phase.to)
            order.shuffle(turns)
            try:
                phase = server.send((yield phase._replace(to=tuple(turns))))
            except StopIteration as end:
                return end.value

    server = shuffled(pairwise_server(1, ids, 41, 21, chunk_words))
    result = drive(server, handlers_of(updates, OsRandomSource()), fresh(ids))
    np.testing.assert_array_equal(low_bits(result.words, 21), ring_sum(updates, 21))
    assert result.upload_bytes == 4 * packed_size(41, 21)


@seeds
@settings(deadline=None, max_examples=10)
def test_what_a_client_sends_is_its_update_plus_and_minus_its_pads(seed):
    """y - x is the signed sum of pads, so one unknown pad makes y uniform: a one-time pad."""
    ids, keys = (0, 1, 2, 3), Recorder()
    updates = updates_of(seed, ids)
    handlers, states = asked_up_to_upload(ids, keys, updates)
    for i in ids:
        outcome, _ = handlers[i]("upload", upload(ids), states[i])
        masks = unpack_words(outcome.payload["words"], 13, 16) - updates[i]
        for j in set(ids) - {i}:
            pad = unpack_words(b"".join(keys.pads[1, i, j]), 13, 16)
            masks = masks - pad if j > i else masks + pad
        assert not masks.any()


@pytest.mark.parametrize("word_bits", [4, 8])
def test_a_masked_upload_is_uniform_whatever_is_inside(word_bits):
    """Chi-square over the words; true randomness, so the bound fails once in 10^12 runs."""
    ids, num_words = (1, 2), 2**16
    updates = {i: np.zeros(num_words, np.uint8) for i in ids}
    uploads = []

    def listening(server):
        phase = next(server)
        while True:
            outcomes = yield phase
            if phase.action == "upload":
                uploads.extend(outcome.payload["words"] for outcome in outcomes.values())
            try:
                phase = server.send(outcomes)
            except StopIteration as end:
                return end.value

    server = listening(pairwise_server(1, ids, num_words, word_bits))
    drive(server, handlers_of(updates, OsRandomSource()), fresh(ids))
    for data in uploads:
        counts = np.bincount(unpack_words(data, num_words, word_bits), minlength=2**word_bits)
        expected = num_words / 2**word_bits
        statistic = ((counts - expected) ** 2 / expected).sum()
        assert statistic < chi2.isf(1e-12, 2**word_bits - 1)


def test_all_but_one_colluding_learn_everything_and_fewer_learn_only_the_sum():
    """No exact sum hides a client from n - 1 colluders; one honest partner's pad is enough."""
    ids, keys = (0, 1, 2, 3), Recorder()
    updates = updates_of(11, ids)
    handlers, states = asked_up_to_upload(ids, keys, updates)
    seen = {i: handlers[i]("upload", upload(ids), states[i])[0].payload["words"] for i in ids}

    def stripped(victim, colluders):
        words = unpack_words(seen[victim], 13, 16)
        for j in colluders:
            pad = unpack_words(keys.pads[1, j, victim][0], 13, 16)
            words = words - pad if j > victim else words + pad
        return words

    np.testing.assert_array_equal(stripped(0, [1, 2, 3]), updates[0])
    honest_pad = unpack_words(keys.pads[1, 0, 1][0], 13, 16)
    np.testing.assert_array_equal(stripped(0, [2, 3]) - honest_pad, updates[0])
    both = stripped(0, [2, 3]) + stripped(1, [2, 3])
    np.testing.assert_array_equal(both, updates[0] + updates[1])


def test_a_client_that_drops_out_before_ready_is_left_out_exactly():
    ids, source = (1, 2, 5, 8), OsRandomSource()
    updates = {**updates_of(3, ids), 5: None}
    states = fresh(ids)
    result = drive(pairwise_server(1, ids, 13, 16), handlers_of(updates, source), states)
    assert result.members == (1, 2, 8)
    np.testing.assert_array_equal(low_bits(result.words, 16), ring_sum(updates))
    assert states[5].stage is Stage.ENDED
    for i in (1, 2, 8):
        assert source.ledger.state(1, i, 5) is PadState.BURNED
        assert source.ledger.state(1, 5, i) is PadState.BURNED
    assert source.ledger.totals() == (0, 6 * 26, 6 * 26)
    assert result.key_bits == 6 * 26 * 8


def test_a_client_that_never_answers_costs_nothing():
    ids = (1, 2, 5)
    updates = updates_of(3, (1, 2))
    handlers = handlers_of(updates, OsRandomSource())
    result = drive(pairwise_server(1, ids, 13, 16), handlers, fresh(ids))
    assert result.members == (1, 2)
    np.testing.assert_array_equal(low_bits(result.words, 16), ring_sum(updates))


@seeds
@settings(deadline=None, max_examples=10)
def test_one_pad_in_two_rounds_gives_away_the_difference_of_updates(seed):
    """The attack on pad reuse: the server subtracts two uploads. Our source refuses it."""
    ids, seen = (1, 2), []
    pad = np.random.default_rng(seed).bytes(26)
    rounds = [updates_of(seed, ids), updates_of(seed + 1, ids)]
    states = None
    for round_num, updates in enumerate(rounds, start=1):
        handlers, states = asked_up_to_upload(ids, OnePadForever(pad), updates, round_num, states)
        outcome, states[1] = handlers[1]("upload", upload(ids, round_num=round_num), states[1])
        seen.append(unpack_words(outcome.payload["words"], 13, 16))
    np.testing.assert_array_equal(seen[0] - seen[1], rounds[0][1] - rounds[1][1])


def test_our_source_refuses_the_pad_of_a_round_a_second_time():
    ids, source = (1, 2), OsRandomSource()
    handlers, states = asked_up_to_upload(ids, source, updates_of(1, ids))
    for i in ids:
        handlers[i]("upload", upload(ids), states[i])
    with pytest.raises(KeyReusedError):
        source.spend(1, 1, 2, 0, 26)
    forgetful, _ = handlers[1]("upload", upload(ids), states[1])  # a state rolled back
    assert isinstance(forgetful, Failure)
    assert "used once" in forgetful.reason


def test_without_a_mac_a_flipped_bit_goes_unnoticed():
    """What this version does not give: integrity against the network (see the docstring)."""
    ids = (1, 2)
    updates = updates_of(1, ids)
    handlers = handlers_of(updates, OsRandomSource())

    def flipped(action, payload, state):
        outcome, state = handlers[2](action, payload, state)
        if action == "upload":
            data = outcome.payload["words"]
            outcome = Reply({"words": bytes([data[0] ^ 1]) + data[1:]})
        return outcome, state

    result = drive(pairwise_server(1, ids, 13, 16), {1: handlers[1], 2: flipped}, fresh(ids))
    assert np.count_nonzero(result.words - ring_sum(updates)) == 1
