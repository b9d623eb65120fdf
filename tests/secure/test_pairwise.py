"""Protocol A: what it computes, what it hides and what it does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairwise_parts import (
    Recorder,
    asked_up_to_upload,
    fresh,
    handlers_of,
    low_bits,
    ring_sum,
    serve,
    updates_of,
    upload,
)
from scipy.stats import chi2

from fedket.keys.ledger import PadState
from fedket.keys.os_random import OsRandomSource
from fedket.secure.metering import metered
from fedket.secure.pairwise.client import Stage
from fedket.secure.phases import drive, in_process
from fedket.secure.words import packed_size, unpack_words

seeds = given(seed=st.integers(0, 2**31 - 1))


@pytest.mark.parametrize("num_clients", [2, 3, 5, 17])
@pytest.mark.parametrize("word_bits", [4, 8, 16, 21, 32, 50])
@settings(deadline=None, max_examples=3)
@seeds
def test_masks_cancel_and_the_sum_survives(num_clients, word_bits, seed):
    ids = tuple(range(3, 3 + 2 * num_clients, 2))
    updates, source = updates_of(seed, ids, 13, word_bits), OsRandomSource()
    server = metered(serve(ids, word_bits=word_bits))
    result, phases = drive(server, in_process(handlers_of(updates, source), fresh(ids)))
    num_pairs = num_clients * (num_clients - 1) // 2
    np.testing.assert_array_equal(low_bits(result.words, word_bits), ring_sum(updates, word_bits))
    assert result.members == ids
    uploads = {phase.name: phase.upload_bytes for phase in phases}
    assert uploads["upload"] == num_clients * packed_size(13, word_bits)
    num_bytes = num_pairs * packed_size(13, word_bits)
    assert sum(phase.pad_bits for phase in phases) == 8 * num_bytes
    assert source.ledger.totals() == (0, 2 * num_bytes, 0)


@pytest.mark.parametrize(("num_clients", "degree"), [(7, 2), (7, 4), (12, 6), (30, 8), (6, 5)])
@settings(deadline=None, max_examples=5)
@seeds
def test_the_sum_survives_on_any_graph_and_pads_are_spent_along_its_edges(
    num_clients, degree, seed
):
    ids, source = tuple(range(num_clients)), OsRandomSource()
    updates = updates_of(seed, ids)
    server = serve(ids, degree=degree, graph_seed=seed.to_bytes(4))
    result = drive(server, in_process(handlers_of(updates, source), fresh(ids)))
    np.testing.assert_array_equal(low_bits(result.words, 16), ring_sum(updates))
    assert source.ledger.totals() == (0, num_clients * degree * 26, 0)


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

    server = shuffled(serve(ids, 1, 41, 21, chunk_words=chunk_words))
    result = drive(server, in_process(handlers_of(updates, OsRandomSource()), fresh(ids)))
    np.testing.assert_array_equal(low_bits(result.words, 21), ring_sum(updates, 21))


@seeds
@settings(deadline=None, max_examples=10)
def test_what_a_client_sends_is_its_update_plus_and_minus_its_pads(seed):
    """y - x is the signed sum of pads, so one unknown pad makes y uniform: a one-time pad."""
    ids, keys = (0, 1, 2, 3), Recorder()
    updates = updates_of(seed, ids)
    handlers, states = asked_up_to_upload(ids, keys, updates)
    masks = {}
    for i in ids:
        outcome, _ = handlers[i]("upload", upload(ids), states[i])
        masks[i] = unpack_words(outcome.payload["words"], 13, 16) - updates[i]
    for (_, (sender, receiver)), pieces in keys.pads.items():
        pad = unpack_words(b"".join(pieces), 13, 16)
        masks[sender] = masks[sender] - pad
        masks[receiver] = masks[receiver] + pad
    assert len(keys.pads) == 6
    assert not any(mask.any() for mask in masks.values())


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

    server = listening(serve(ids, 1, num_words, word_bits))
    drive(server, in_process(handlers_of(updates, OsRandomSource()), fresh(ids)))
    assert len(uploads) == 2
    for data in uploads:
        counts = np.bincount(unpack_words(data, num_words, word_bits), minlength=2**word_bits)
        expected = num_words / 2**word_bits
        statistic = ((counts - expected) ** 2 / expected).sum()
        assert statistic < chi2.isf(1e-12, 2**word_bits - 1)


def test_a_client_that_drops_out_before_ready_is_left_out_exactly():
    ids, source = (1, 2, 5, 8), OsRandomSource()
    updates = {**updates_of(3, ids), 5: None}
    states = fresh(ids)
    result = drive(serve(ids), in_process(handlers_of(updates, source), states))
    assert result.members == (1, 2, 8)
    np.testing.assert_array_equal(low_bits(result.words, 16), ring_sum(updates))
    assert states[5].stage is Stage.ENDED
    for end, stream in [(1, (1, 5)), (5, (1, 5)), (5, (5, 8)), (8, (5, 8))]:
        assert source.ledger.state(1, end, stream) is PadState.BURNED
    assert source.ledger.totals() == (0, 6 * 26, 6 * 26)


def test_a_client_that_never_answers_costs_nothing_but_its_pads():
    ids = (1, 2, 5)
    updates = updates_of(3, (1, 2))
    result = drive(serve(ids), in_process(handlers_of(updates, OsRandomSource()), fresh(ids)))
    assert result.members == (1, 2)
    np.testing.assert_array_equal(low_bits(result.words, 16), ring_sum(updates))


def test_a_client_that_hears_of_no_offset_masks_without_that_neighbour():
    """Client 1 answers RESERVE too late: nobody gets its pads, and the sum goes on without it."""
    ids, source = (1, 2, 5), OsRandomSource()
    updates = updates_of(3, ids)
    handlers = handlers_of(updates, source)

    def late(action, payload, state):
        outcome, state = handlers[1](action, payload, state)
        return outcome._replace(payload={}) if action == "reserve" else outcome, state

    result = drive(serve(ids), in_process({**handlers, 1: late}, fresh(ids)))
    assert result.members == (2, 5)
    np.testing.assert_array_equal(low_bits(result.words, 16), updates[2] + updates[5])
