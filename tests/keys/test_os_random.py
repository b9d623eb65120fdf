import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.errors import KeyMaterialError, KeyReusedError
from fedket.keys.os_random import OsRandomSource
from fedket.types import SERVER, KeySource

STREAM = (0, 1)


def reserved(num_bytes: int, round_num: int = 1, streams=(STREAM,)) -> OsRandomSource:
    source = OsRandomSource()
    for stream in streams:
        agree(source, num_bytes, round_num, stream)
    return source


def agree(source, num_bytes, round_num=1, stream=STREAM):
    """The sender reserves, the receiver accepts what it announces."""
    sender, receiver = stream
    offset = source.reserve(round_num, sender, {stream: num_bytes})[stream]
    source.accept(round_num, receiver, {stream: (offset, num_bytes)})


def test_it_is_a_key_source():
    assert isinstance(OsRandomSource(), KeySource)


@settings(deadline=None, max_examples=30)
@given(pieces=st.lists(st.integers(1, 40), min_size=1, max_size=8), order=st.randoms())
def test_both_ends_get_the_same_bytes_in_any_order(pieces, order):
    source = reserved(sum(pieces))
    turns = [0] * len(pieces) + [1] * len(pieces)
    order.shuffle(turns)
    got = {0: [], 1: []}
    for party in turns:
        piece = len(got[party])
        key = source.spend(1, party, STREAM, sum(pieces[:piece]), pieces[piece])
        got[party].append(key.reveal())
    assert got[0] == got[1]
    assert list(map(len, got[0])) == pieces


def test_other_streams_and_rounds_are_other_bytes():
    streams = [(0, 1), (1, 0), (0, 2), (SERVER, 1), (1, SERVER)]
    source = reserved(32, streams=streams)
    pads = {source.spend(1, stream[0], stream, 0, 32).reveal() for stream in streams}
    agree(source, 32, round_num=2)
    pads.add(source.spend(2, 0, STREAM, 0, 32).reveal())
    assert len(pads) == 6


def test_a_pad_is_spent_once_by_each_end():
    source = reserved(16)
    for party in STREAM:
        source.spend(1, party, STREAM, 0, 16)
    for party in STREAM:
        with pytest.raises(KeyReusedError):
            source.spend(1, party, STREAM, 0, 16)
    with pytest.raises(KeyReusedError):
        source.reserve(1, 0, {STREAM: 16})
    with pytest.raises(KeyReusedError):
        source.accept(1, 1, {STREAM: (16, 16)})


def held(source: OsRandomSource) -> int:
    """Bytes that wait for an end."""
    return len(source._streams[STREAM])


@pytest.mark.parametrize("first", STREAM)
def test_bytes_are_drawn_for_the_first_end_and_dropped_once_both_have_them(first):
    source = reserved(16)
    assert held(source) == 0
    source.spend(1, first, STREAM, 0, 16)
    assert held(source) == 16
    source.spend(1, 1 - first, STREAM, 0, 16)
    assert held(source) == 0


def test_nothing_is_kept_for_an_end_that_has_gone_past():
    burned, skipped, moved_on = reserved(16), reserved(16), reserved(16)
    burned.burn(1, 1, [STREAM])
    burned.spend(1, 0, STREAM, 0, 16)
    skipped.spend(1, 1, STREAM, 8, 8)
    skipped.spend(1, 0, STREAM, 8, 8)
    moved_on.spend(1, 0, STREAM, 0, 16)
    moved_on.accept(2, 1, {STREAM: (16, 4)})
    assert held(burned) == held(skipped) == held(moved_on) == 0


def test_an_end_may_spend_before_the_other_has_set_aside():
    source = OsRandomSource()
    offset = source.reserve(1, 0, {STREAM: 16})[STREAM]
    key = source.spend(1, 0, STREAM, 0, 16)
    source.accept(1, 1, {STREAM: (offset, 16)})
    assert source.spend(1, 1, STREAM, 0, 16) == key


def test_burning_one_end_drops_what_waits_for_it_and_nothing_else():
    source = reserved(16)
    first = source.spend(1, 0, STREAM, 0, 8)
    source.burn(1, 0, [STREAM])
    assert source.spend(1, 1, STREAM, 0, 8) == first
    source.burn(1, 1, [STREAM])
    with pytest.raises(KeyReusedError):
        source.spend(1, 1, STREAM, 8, 8)
    assert source.ledger.totals() == (0, 16, 16)


def test_an_end_that_was_told_a_wrong_offset_does_not_get_the_pad():
    source = OsRandomSource()
    source.reserve(1, 0, {STREAM: 16})
    source.accept(1, 1, {STREAM: (16, 16)})
    mine = source.spend(1, 0, STREAM, 0, 16)
    assert source.spend(1, 1, STREAM, 0, 16) != mine
    assert source.ledger.totals().burned == 16


def test_errors_and_repr_never_show_key_bytes(monkeypatch):
    secret = b"seven pads of secret silk".ljust(32, b"\xa5")
    monkeypatch.setattr(os, "urandom", lambda num_bytes: secret[:num_bytes])
    source = reserved(32)
    messages = [repr(source.spend(1, 0, STREAM, 0, 32)), repr(source), repr(vars(source))]
    for party, offset, length in [(0, 0, 32), (0, 4, 4), (0, 32, 1), (1, 0, 33)]:
        with pytest.raises(KeyMaterialError) as error:
            source.spend(1, party, STREAM, offset, length)
        messages.append(repr(error.value))
    for message in messages:
        for disguise in (secret[:8].decode(), secret[:8].hex(), str(list(secret[:8]))):
            assert disguise not in message
