"""A ledger tells the truth, or `verify` tells that it does not."""

import hashlib
import shutil
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from pad_store_parts import BACK, THERE, abandon, exchange, key, pair

from fedket.errors import KeyMaterialError
from fedket.keys.store import Event, KeyPurpose, PadStore, reading, verify
from fedket.keys.store.database import DATABASE_NAME, read_database, read_identity
from fedket.keys.store.ledger import append, chained, records
from fedket.keys.store.reading import read_ledger


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A closed store with one of every event."""
    place = tmp_path_factory.mktemp("template")
    sender, receiver = pair(place)
    with sender, receiver:
        for round_num in (1, 2, 3):
            start = exchange(sender, receiver, 100, round_num)
            sender.take(THERE, start, 60, run="r", round_num=round_num)
        exchange(receiver, sender, 50, 1)
        sender.advance({BACK: 80})
        sender.withdraw({THERE: 900})
    events = {record.entry.event for record in read_ledger(place / "0")}
    assert events == {event.value for event in Event}
    return place / "0"


@pytest.fixture
def used(template, tmp_path):
    """A copy of it, to be edited."""
    return Path(shutil.copytree(template, tmp_path / "used"))


def edit(directory, *statements):
    """Edit a store as a person would who knows SQLite."""
    connection = sqlite3.connect(directory / DATABASE_NAME)
    triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    for (name,) in triggers.fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def rechain(directory):
    """Compute all hashes anew, which takes no key."""
    connection = sqlite3.connect(directory / DATABASE_NAME)
    identity = read_identity(connection, directory)
    entries = [record.entry for record in records(connection)]
    connection.execute("DELETE FROM ledger")
    append(connection, identity, entries)
    connection.commit()
    connection.close()


def test_an_honest_ledger_holds(used):
    result = verify(used)
    assert result.findings == ()
    assert result.seal_checked
    assert result.entries == len(read_ledger(used))


def test_every_entry_is_chained_to_the_one_before(used):
    ledger = read_ledger(used)
    for before, after in pairwise(ledger):
        assert after.hash == chained(before.hash, after.entry)
    assert read_ledger(used, last=2) == ledger[-2:]


def test_a_ledger_that_a_crash_left_holds_too(tmp_path):
    sender, receiver = pair(tmp_path)
    exchange(sender, receiver, 100, 1)
    sender.take(THERE, 0, 50, run="r", round_num=1)
    for store in (sender, receiver):
        abandon(store)
        assert verify(store.directory).findings == ()
        PadStore.open(store.directory, store.owner).close()
        assert verify(store.directory).findings == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET event = 'burned' WHERE event = 'reserved'",
        "UPDATE ledger SET sender = 1 WHERE event = 'reserved'",
        "UPDATE ledger SET receiver = 2 WHERE event = 'reserved'",
        "UPDATE ledger SET start = start + 1 WHERE event = 'reserved'",
        "UPDATE ledger SET length = length - 1 WHERE event = 'reserved'",
        "UPDATE ledger SET purpose = 'mac' WHERE event = 'reserved'",
        "UPDATE ledger SET run = 'other' WHERE event = 'reserved'",
        "UPDATE ledger SET round_num = round_num + 1 WHERE event = 'reserved'",
        "UPDATE ledger SET mode = 'computational' WHERE event = 'reserved'",
        "UPDATE ledger SET key_id = 'k' WHERE event = 'deposited' AND sender = 0",
        "UPDATE ledger SET hash = hash || '0' WHERE event = 'reserved'",
    ],
)
def test_a_changed_entry_is_detected(used, statement):
    edit(used, statement)
    assert any("was changed" in finding for finding in verify(used).findings)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ledger WHERE seq = 4",
        "DELETE FROM ledger WHERE seq = 1",
        "DELETE FROM ledger WHERE seq > 7",
        "DELETE FROM ledger WHERE seq = (SELECT max(seq) FROM ledger)",
        "DELETE FROM ledger",
        "UPDATE ledger SET seq = seq + 1000 WHERE seq = 5",
        "UPDATE ledger SET length = 'many' WHERE seq = 5",
        "UPDATE ledger SET hash = x'00' WHERE seq = 5",
        "INSERT INTO ledger SELECT seq + 100, event, sender, receiver, start, length, purpose, "
        "run, round_num, mode, '', hash FROM ledger WHERE event = 'consumed'",
        "UPDATE streams SET high_water = 0, consumed = 0, burned = 0",
        "UPDATE streams SET burned = burned - 1, consumed = consumed + 1 WHERE burned > 0",
        "UPDATE streams SET deposited = deposited + 1",
        "DELETE FROM streams",
        "DELETE FROM keys WHERE rowid = 1",
        "UPDATE keys SET key_id = 'another' WHERE rowid = 1",
    ],
)
def test_what_was_removed_moved_or_added_is_detected(used, statement):
    edit(used, statement)
    assert verify(used).findings
    (used / "store.key").unlink()
    unsealed = verify(used)
    assert unsealed.findings
    assert not unsealed.seal_checked


def test_swapped_entries_are_detected(used):
    edit(
        used,
        "UPDATE ledger SET seq = -1 WHERE seq = 5",
        "UPDATE ledger SET seq = 5 WHERE seq = 6",
        "UPDATE ledger SET seq = 6 WHERE seq = -1",
    )
    assert verify(used).findings


def test_a_chain_made_anew_is_detected_by_its_accounts_or_by_the_seal(used):
    edit(used, "UPDATE ledger SET start = start - 10 WHERE event = 'reserved' AND start > 0")
    rechain(used)
    assert any("overlap what was set aside" in finding for finding in verify(used).findings)


@pytest.mark.parametrize("event", ["consumed", "burned"])
def test_bytes_that_end_twice_are_detected_without_the_seal(used, event):
    (used / "store.key").unlink()
    statement = "UPDATE ledger SET start = start - 5 WHERE event = '{}' AND start > 60"
    edit(used, statement.format(event))
    rechain(used)
    assert any("ended twice or never" in finding for finding in verify(used).findings)


def test_a_consistent_forgery_is_detected_by_the_seal(used):
    edit(used, "UPDATE ledger SET run = 'never'")
    rechain(used)
    assert verify(used, key("wrong", 32)).findings
    (finding,) = verify(used).findings
    assert "seal does not fit" in finding
    with pytest.raises(KeyMaterialError, match=r"were edited; .* tells which"):
        PadStore.open(used, 0)


def test_marks_that_were_put_back_by_hand_stop_the_store(used):
    edit(used, "UPDATE streams SET high_water = 0, consumed = 0, burned = 0")
    with pytest.raises(KeyMaterialError, match="were edited"):
        PadStore.open(used, 0)


def test_sqlite_itself_keeps_honest_people_from_edits(used):
    connection = sqlite3.connect(used / DATABASE_NAME)
    for statement in (
        "DELETE FROM ledger",
        "UPDATE ledger SET run = ''",
        "UPDATE streams SET high_water = high_water - 1 WHERE high_water > 0",
        "DELETE FROM streams",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)
    connection.close()
    assert verify(used).findings == ()


def test_a_ledger_is_read_from_a_pad_store_only(tmp_path):
    with pytest.raises(KeyMaterialError, match="there is no pad store"):
        verify(tmp_path)
    connection = sqlite3.connect(tmp_path / DATABASE_NAME)
    connection.execute("CREATE TABLE other (a)")
    connection.close()
    with pytest.raises(KeyMaterialError, match="is not a pad store"):
        verify(tmp_path)
    (tmp_path / DATABASE_NAME).write_bytes(b"no database" * 500)
    with pytest.raises(KeyMaterialError, match="not a database"):
        verify(tmp_path)


def test_the_database_holds_no_key_bytes(tmp_path):
    secret = key("secret", 64)
    with PadStore.open(tmp_path, 0) as store:
        store.deposit(THERE, "k", secret)
        store.reserve({THERE: 64}, KeyPurpose.PAD, "r", 1)
        store.take(THERE, 0, 64, run="r", round_num=1)
        connection = read_database(tmp_path)
        dump = "\n".join(connection.iterdump())
        connection.close()
    forms = [secret.reveal()]
    forms += [hashlib.new(name, secret.reveal()).digest() for name in ("sha256", "sha1", "md5")]
    assert not any(form.hex()[:16] in dump.lower() for form in forms)


def test_findings_are_bounded(used, monkeypatch):
    monkeypatch.setattr(reading, "MAX_FINDINGS", 5)
    edit(used, "UPDATE ledger SET length = 0")
    assert len(verify(used).findings) == 5


def test_two_writers_cannot_both_commit(used):
    """Should the lock file fail, SQLite's write lock is left."""
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN IMMEDIATE')"
    with PadStore.open(used, 0) as store, store._session._disk.transaction(store._session.database):
        other = subprocess.run(
            [sys.executable, "-c", code.replace("1])", "1], timeout=0)"), used / DATABASE_NAME],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "database is locked" in other.stderr
