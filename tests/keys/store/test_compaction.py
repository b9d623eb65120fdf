"""A compacted ledger: as sound as before, no round comes twice, archive and rest are the chain."""

import json
import sqlite3

import pytest
from pad_store_parts import BACK, THERE, filled, key

from fedket.errors import KeyMaterialError, KeyReusedError
from fedket.keys.store import KeyPurpose, PadStore, read_ledger, read_status, verify
from fedket.keys.store.ledger import Entry

PAD = KeyPurpose.PAD


@pytest.fixture
def store(tmp_path):
    with filled(tmp_path / "pads", 0) as store:
        for round_num in range(1, 8):
            store.reserve({THERE: 10}, PAD, "study", round_num)
            store.take(THERE, 10 * round_num - 10, 6, run="study", round_num=round_num)
        store.accept({BACK: (5, 10)}, PAD, "study", 7)
        yield store


def test_it_is_intact_and_says_the_same_of_what_is_left(store, tmp_path):
    before, held = read_status(store.directory), store.deposits()
    entries = read_ledger(store.directory)
    moved = store.compact(tmp_path / "archive", 5)
    assert moved == before.entries - 5
    after = read_status(store.directory)
    assert (after.streams, after.entries, after.head) == (
        before.streams,
        before.entries,
        before.head,
    )
    assert store.deposits() == held
    assert verify(store.directory).findings == ()
    archived = [json.loads(line) for line in (tmp_path / "archive").read_text().splitlines()]
    assert [(e.pop("seq"), e.pop("hash"), Entry(**e)) for e in archived] == [
        (r.seq, r.hash, r.entry) for r in entries[:moved]
    ]
    assert [r for r in read_ledger(store.directory) if r.seq > moved] == entries[moved:]


def test_no_round_comes_twice_and_the_chain_goes_on(store, tmp_path):
    store.compact(tmp_path / "archive", 1)
    for round_num in (1, 7):
        with pytest.raises(KeyReusedError, match="rounds only go up"):
            store.reserve({THERE: 10}, PAD, "study", round_num)
    with pytest.raises(KeyReusedError):
        store.deposit(THERE, f"first of {THERE}", key("again", 10))
    store.reserve({THERE: 10}, PAD, "study", 8)
    store.take(THERE, 70, 10, run="study", round_num=8)
    store.deposit(THERE, "new", key("new", 10))
    assert store.compact(tmp_path / "archive-2", 1) > 0
    store.close()
    assert verify(store.directory).findings == ()
    with PadStore.open(store.directory, 0) as again:
        again.reserve({THERE: 10}, PAD, "study", 9)
    assert verify(store.directory).findings == ()


def test_an_archive_is_not_overwritten_and_little_is_left_alone(store, tmp_path):
    (tmp_path / "archive").write_text("mine")
    with pytest.raises(KeyMaterialError, match="is there already"):
        store.compact(tmp_path / "archive", 1)
    assert store.compact(tmp_path / "none") == 0
    assert not (tmp_path / "none").exists()
    assert verify(store.directory).findings == ()


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE checkpoint SET streams = '[]'",
        "UPDATE checkpoint SET hash = 'x'",
        "DELETE FROM checkpoint",
        "DROP TRIGGER ledger_is_not_cut; DELETE FROM ledger WHERE seq < 5",
        "DROP TRIGGER ledger_is_not_changed; UPDATE ledger SET round_num = 1 WHERE seq < 20",
    ],
)
def test_what_was_compacted_cannot_be_edited_unseen(store, tmp_path, edit):
    store.compact(tmp_path / "archive", 3)
    store.close()
    with sqlite3.connect(store.directory / "pads.sqlite") as connection:
        connection.executescript(edit)
    connection.close()
    assert verify(store.directory).findings
