"""What a pad store holds: pure data for the command line, read while a process may have it open."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from fedket.keys.store.audit import Entry, Record, head, records
from fedket.keys.store.disk import explained
from fedket.keys.store.schema import read_database, read_identity
from fedket.keys.store.streams import read_all_marks
from fedket.types import Stream


class StreamStatus(NamedTuple):
    """One stream at this end; all numbers are bytes.

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


def read_status(directory: Path) -> StoreStatus:
    """Read what a store holds.

    Raises:
        KeyMaterialError: There is no pad store, or it cannot be read.
    """
    with explained(directory), closing(read_database(directory)) as connection:
        identity = read_identity(connection, directory)
        latest = _latest_reservations(connection)
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


def _latest_reservations(connection: sqlite3.Connection) -> dict[Stream, Entry]:
    rows = connection.execute(
        "SELECT ledger.* FROM ledger JOIN (SELECT max(seq) AS latest FROM ledger "
        "WHERE event = 'reserved' GROUP BY sender, receiver) ON seq = latest"
    )
    entries = [Entry(*row[1:-1]) for row in rows]
    return {(entry.sender, entry.receiver): entry for entry in entries}
