"""Pad stores behind the protocols' `KeySource`."""

import pytest
from pad_store_parts import key

from fedket.errors import KeyExhaustedError, KeyMaterialError, KeyReusedError
from fedket.keys.store import PadStore, StoreKeySource
from fedket.keys.store.reading import read_ledger
from fedket.types import SERVER, KeySource

PARTIES = (SERVER, 0, 1)
STREAM = (0, 1)


@pytest.fixture
def source(tmp_path):
    stores = {party: PadStore.open(tmp_path / str(party), party) for party in PARTIES}
    for sender in PARTIES:
        for receiver in set(PARTIES) - {sender}:
            for party in (sender, receiver):
                name = f"{sender} to {receiver}"
                stores[party].deposit((sender, receiver), name, key(name, 1000))
    yield StoreKeySource(stores, "r")
    for store in stores.values():
        store.close()


def test_it_is_a_key_source(source):
    assert isinstance(source, KeySource)


def test_both_ends_of_a_round_get_the_same_bytes_counted_from_the_reservation(source):
    for round_num, expected in [(1, 0), (2, 40)]:
        start = source.reserve(round_num, 0, {STREAM: 40})[STREAM]
        assert start == expected
        source.accept(round_num, 1, {STREAM: (start, 40)})
        for piece in ((0, 25), (25, 15)):
            ends = {source.spend(round_num, i, STREAM, *piece).reveal() for i in STREAM}
            assert ends == {key("0 to 1", 1000).reveal()[start:][piece[0] :][: piece[1]]}


def test_each_end_gets_a_byte_once(source):
    source.reserve(1, 0, {STREAM: 40})
    source.spend(1, 0, STREAM, 0, 20)
    for start, num_bytes in [(0, 1), (19, 2), (0, 40)]:
        with pytest.raises(KeyReusedError):
            source.spend(1, 0, STREAM, start, num_bytes)
    source.spend(1, 0, STREAM, 30, 5)
    with pytest.raises(KeyReusedError):
        source.spend(1, 0, STREAM, 20, 10)
    with pytest.raises(KeyExhaustedError):
        source.spend(1, 0, STREAM, 35, 6)
    with pytest.raises(KeyExhaustedError):
        source.spend(1, 0, STREAM, 40, 1)


def test_rounds_only_go_up(source):
    source.reserve(5, 0, {STREAM: 10})
    for round_num in (5, 4):
        with pytest.raises(KeyReusedError):
            source.reserve(round_num, 0, {STREAM: 10})
        with pytest.raises(KeyReusedError):
            source.accept(5, 1, {STREAM: (0, 10)}) or source.accept(round_num, 1, {STREAM: (10, 1)})
    source.reserve(6, 0, {STREAM: 10})
    with pytest.raises(KeyReusedError):
        source.spend(5, 0, STREAM, 0, 1)


def test_what_is_burned_stays_burned(source):
    source.reserve(1, 0, {STREAM: 10})
    source.burn(1, 0, [STREAM, (1, 0), (0, SERVER)])
    source.burn(1, 0, [STREAM])
    with pytest.raises(KeyReusedError):
        source.spend(1, 0, STREAM, 0, 1)
    source.reserve(2, 0, {STREAM: 10})
    source.burn(1, 0, [STREAM])
    assert len(source.spend(2, 0, STREAM, 0, 10)) == 10


def test_disorder_is_refused(source):
    with pytest.raises(KeyMaterialError, match="never reserved"):
        source.spend(1, 0, STREAM, 0, 1)
    source.reserve(1, 0, {STREAM: 10})
    with pytest.raises(KeyMaterialError, match="never reserved"):
        source.spend(2, 0, STREAM, 0, 1)
    with pytest.raises(KeyMaterialError, match="never reserved"):
        source.spend(1, 0, STREAM, -1, 1)
    with pytest.raises(KeyMaterialError, match="1 or more"):
        source.spend(1, 0, STREAM, 0, 0)
    with pytest.raises(KeyMaterialError, match="sender allocates"):
        source.reserve(1, 1, {STREAM: 10})
    with pytest.raises(KeyMaterialError, match="no pad store of party 7"):
        source.reserve(1, 7, {(7, 1): 10})


def test_the_ledger_tells_pads_from_mac_keys(source, tmp_path):
    source.reserve(1, 0, {STREAM: 10, (0, SERVER): 32})
    reserved = [r.entry for r in read_ledger(tmp_path / "0") if r.entry.event == "reserved"]
    assert {(e.receiver, e.purpose, e.round_num) for e in reserved} == {
        (1, "pad", 1),
        (SERVER, "mac", 1),
    }
