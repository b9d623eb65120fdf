"""What anybody may read of a pad store while a process has it open: status, ledger, verification.

`verify` finds entries that were changed, deleted, inserted or reordered (the chain breaks), a
ledger cut short (the marks and the seal differ), edited marks, and bytes that were set aside twice
or ended twice. It does not find an older copy of the whole directory: see `connect`.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from fedket.keys.store.checkpoint import Account, digest_of, read_checkpoint
from fedket.keys.store.database import (
    StoreIdentity,
    StreamMarks,
    read_all_marks,
    read_database,
    read_identity,
)
from fedket.keys.store.disk import explained
from fedket.keys.store.ledger import (
    Entry,
    Event,
    Record,
    chained,
    genesis,
    head,
    is_sealed,
    piece_name,
    records,
)
from fedket.keys.store.store_key import KEY_NAME, derive_keys, read_store_key
from fedket.types import Secret, Stream

MAX_FINDINGS = 20
"""More are not listed."""


class StreamStatus(NamedTuple):
    """One stream at this end; all numbers are bytes, see `StreamMarks`.

    Attributes:
        sender: Who allocates its offsets.
        receiver: Who follows.
        available: Untouched.
        reserved: Set aside; burned when the store is opened, if the process has ended.
        consumed: Handed out.
        burned: Given up, skipped, or never came to this end.
        high_water: Offset at which allocation goes on.
        deposited: Offset at which the next key goes.
        last: The latest reservation, or None.
    """

    sender: int
    receiver: int
    available: int
    reserved: int
    consumed: int
    burned: int
    high_water: int
    deposited: int
    last: Entry | None


class StoreStatus(NamedTuple):
    """A pad store.

    Attributes:
        owner: Whose it is.
        store_id: Its random name.
        streams: Its streams, in ascending order.
        entries: Number of entries in its ledger.
        head: Hash of the last; note it elsewhere to prove later that the ledger was not replaced.
    """

    owner: int
    store_id: str
    streams: tuple[StreamStatus, ...]
    entries: int
    head: str


class Verification(NamedTuple):
    """What `verify` found.

    Attributes:
        entries: Number of entries read.
        findings: What is wrong, one line each, at most `MAX_FINDINGS`; empty if nothing is.
        seal_checked: Whether the store key was at hand to check the seal.
    """

    entries: int
    findings: tuple[str, ...]
    seal_checked: bool


def read_status(directory: Path) -> StoreStatus:
    """Read what a store holds.

    Raises:
        KeyMaterialError: There is no pad store, or it cannot be read.
    """
    with explained(directory), closing(read_database(directory)) as connection:
        identity = read_identity(connection, directory)
        rows = connection.execute(
            "SELECT ledger.* FROM ledger JOIN (SELECT max(seq) AS latest FROM ledger "
            "WHERE event = 'reserved' GROUP BY sender, receiver) ON seq = latest"
        )
        latest = {
            (entry.sender, entry.receiver): entry for entry in (Entry(*r[1:-1]) for r in rows)
        }
        streams = tuple(
            StreamStatus(
                *stream,
                marks.available,
                marks.reserved,
                marks.consumed,
                marks.burned,
                marks.high_water,
                marks.deposited,
                latest.get(stream),
            )
            for stream, marks in read_all_marks(connection).items()
        )
        return StoreStatus(identity.owner, identity.store_id, streams, *head(connection, identity))


def read_ledger(directory: Path, last: int = 0) -> list[Record]:
    """Read the ledger, or its last entries if `last` is not 0.

    Raises:
        KeyMaterialError: There is no pad store, or it cannot be read.
    """
    with explained(directory), closing(read_database(directory)) as connection:
        entries, _ = head(connection, read_identity(connection, directory))
        return list(records(connection, max(entries - last, 0) if last else 0))


def verify(directory: Path, store_key: Secret | None = None) -> Verification:
    """Check a store's ledger.

    Args:
        directory: The store.
        store_key: Needed for the seal; by default the one in the directory, if it is there.

    Raises:
        KeyMaterialError: There is no pad store, or it cannot be read.
    """
    with explained(directory), closing(read_database(directory)) as connection:
        identity = read_identity(connection, directory)
        if store_key is None and (directory / KEY_NAME).is_file():
            store_key = read_store_key(directory / KEY_NAME)
        findings = tuple(islice(_findings(connection, identity, store_key), MAX_FINDINGS))
        (entries,) = connection.execute("SELECT count(*) FROM ledger").fetchone()
        return Verification(entries, findings, store_key is not None)


def _findings(
    connection: sqlite3.Connection, identity: StoreIdentity, store_key: Secret | None
) -> Iterator[str]:
    old = read_checkpoint(connection)
    at, previous = old.seq, old.hash or genesis(identity)
    accounts: defaultdict[Stream, Account] = defaultdict(Account, old.accounts())
    if digest_of(connection, old.seq) != old.kept:
        yield f"entries up to {old.seq}, which were compacted, were edited"
    for seq, entry, found in records(connection, old.seq):
        if seq != at + 1:
            yield f"entries {at + 1}..{seq - 1} are missing"
        if not _is_well_formed(entry) or chained(previous, entry) != found:
            yield f"entry {seq} was changed, moved or inserted, or the one before it removed"
        at, previous = seq, str(found)
        if entry.event == Event.DEPOSITED and not _keys_fit(connection, entry.key_id):
            yield f"entry {seq}: the keys of piece `{entry.key_id}` were edited"
        if _is_well_formed(entry):
            found_here = accounts[entry.sender, entry.receiver].add(entry)
            yield from (f"entry {seq}: {problem}" for problem in found_here)
    for sender, receiver, start, length in connection.execute(
        "SELECT sender, receiver, start, length FROM reserved"
    ):
        accounts[sender, receiver].ended.append((start, start + length))
    marks = read_all_marks(connection)
    for stream in sorted({*accounts, *marks}):
        problems = accounts[stream].differences(marks.get(stream, StreamMarks()))
        yield from (f"stream {stream}: {problem}" for problem in problems)
    if store_key is not None:
        keys = derive_keys(store_key, identity.store_id)
        if not is_sealed(connection, identity, keys.seal):
            yield "the seal does not fit: the end of the ledger or the marks were edited"


def _keys_fit(connection: sqlite3.Connection, piece: str) -> bool:
    """Whether a piece was made of the keys that are noted as its own."""
    rows = connection.execute("SELECT key_id FROM keys WHERE piece = ? ORDER BY rowid", (piece,))
    key_ids = [key_id for (key_id,) in rows]
    return piece in (*key_ids[:1], piece_name(key_ids))


def _is_well_formed(entry: Entry) -> bool:
    """Whether numbers are numbers; SQLite takes anything in any column."""
    wanted: Iterable[type] = (str, int, int, int, int, str, str, int, str, str)
    return all(isinstance(part, kind) for part, kind in zip(entry, wanted, strict=True))
