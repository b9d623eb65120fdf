import gc
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.errors import KeyMaterialError, KeyReusedError
from fedket.keys.material import KeyMaterial
from fedket.keys.os_random import OsRandomSource


def reserved(num_bytes: int, round_num: int = 1, num_clients: int = 2) -> OsRandomSource:
    source = OsRandomSource()
    ids = tuple(range(num_clients))
    for client_id in ids:
        source.reserve(round_num, client_id, ids[:client_id] + ids[client_id + 1 :], num_bytes)
    return source


@settings(deadline=None, max_examples=30)
@given(pieces=st.lists(st.integers(1, 40), min_size=1, max_size=8), order=st.randoms())
def test_both_ends_get_the_same_bytes_in_any_order(pieces, order):
    source = reserved(sum(pieces))
    turns = [0] * len(pieces) + [1] * len(pieces)
    order.shuffle(turns)
    got = {0: [], 1: []}
    for client_id in turns:
        piece = len(got[client_id])
        offset = sum(pieces[:piece])
        key = source.spend(1, client_id, 1 - client_id, offset, pieces[piece])
        got[client_id].append(key.reveal())
    assert got[0] == got[1]
    assert list(map(len, got[0])) == pieces


def test_pads_of_other_pairs_and_rounds_are_other_bytes():
    source = reserved(32, num_clients=3)
    pads = {source.spend(1, i, j, 0, 32).reveal() for i, j in [(0, 1), (0, 2), (1, 2)]}
    for client_id in (0, 1):
        source.reserve(2, client_id, (1 - client_id,), 32)
    pads.add(source.spend(2, 0, 1, 0, 32).reveal())
    assert len(pads) == 4


def test_a_pad_is_spent_once_by_each_end():
    source = reserved(16)
    for client_id in (0, 1):
        source.spend(1, client_id, 1 - client_id, 0, 16)
    for client_id in (0, 1):
        with pytest.raises(KeyReusedError):
            source.spend(1, client_id, 1 - client_id, 0, 16)
        with pytest.raises(KeyReusedError):
            source.reserve(1, client_id, (1 - client_id,), 16)


def held() -> int:
    """Keys alive in this process."""
    gc.collect()
    return sum(isinstance(thing, KeyMaterial) for thing in gc.get_objects())


def test_bytes_are_dropped_once_both_ends_have_them():
    before, source = held(), reserved(16)
    source.spend(1, 0, 1, 0, 16)
    assert held() == before + 1
    source.spend(1, 1, 0, 0, 16)
    assert held() == before


def test_nothing_is_kept_for_an_end_that_has_burned():
    before, source = held(), reserved(16)
    source.burn(1, 1, (0,))
    source.spend(1, 0, 1, 0, 16)
    assert held() == before


def test_burning_one_end_drops_what_waits_for_it_and_nothing_else():
    source = reserved(16)
    first = source.spend(1, 0, 1, 0, 8)
    source.burn(1, 0, (1,))
    assert source.spend(1, 1, 0, 0, 8) == first
    source.burn(1, 1, (0,))
    with pytest.raises(KeyReusedError):
        source.spend(1, 1, 0, 8, 8)
    assert source.ledger.totals() == (0, 16, 16)


def test_ends_that_disagree_get_an_error_and_no_bytes():
    source = reserved(16)
    source.spend(1, 0, 1, 0, 16)
    with pytest.raises(KeyMaterialError, match="cut it alike"):
        source.spend(1, 1, 0, 0, 8)
    with pytest.raises(KeyMaterialError, match="cut it alike"):
        source.spend(1, 1, 0, 8, 8)
    with pytest.raises(KeyMaterialError, match="must reserve the same"):
        source.reserve(2, 0, (1,), 16) or source.reserve(2, 1, (0,), 17)


def test_an_end_left_behind_in_an_old_round_gets_an_error_not_fresh_bytes():
    source = reserved(16)
    source.spend(1, 0, 1, 0, 16)
    source.reserve(2, 0, (1,), 16)
    with pytest.raises(KeyMaterialError, match="is gone"):
        source.spend(1, 1, 0, 0, 16)


def test_errors_and_repr_never_show_key_bytes(monkeypatch):
    secret = b"seven pads of secret silk".ljust(32, b"\xa5")
    monkeypatch.setattr(os, "urandom", lambda num_bytes: secret[:num_bytes])
    source = reserved(32)
    messages = [repr(source.spend(1, 0, 1, 0, 32)), repr(source), repr(vars(source))]
    for offset, length in [(0, 32), (4, 4), (32, 1)]:
        with pytest.raises(KeyMaterialError) as error:
            source.spend(1, 0, 1, offset, length)
        messages.append(repr(error.value))
    with pytest.raises(KeyMaterialError) as error:
        source.spend(1, 1, 0, 0, 8)
    messages.append(repr(error.value))
    for message in messages:
        for disguise in (secret[:8].decode(), secret[:8].hex(), str(list(secret[:8]))):
            assert disguise not in message
