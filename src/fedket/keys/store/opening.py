"""Opening a store: making a new one, and putting an old one right after whatever happened.

What was reserved when the process ended, in whatever way, is burned: nobody can tell how much of
it was used. What the database does not know (half a deposit, erased segments whose keys were not
destroyed yet) is erased.
"""

import sqlite3
from pathlib import Path
from typing import NamedTuple

from fedket.errors import KeyMaterialError
from fedket.keys.store.audit import Entry, Event, Use, append, is_sealed, seal
from fedket.keys.store.disk import Disk, explained
from fedket.keys.store.places import drop_segments
from fedket.keys.store.schema import (
    DATABASE_NAME,
    Identity,
    create_tables,
    has_tables,
    open_database,
    read_identity,
)
from fedket.keys.store.segments import KEYS_NAME, Segment, SegmentFiles
from fedket.keys.store.store_key import (
    KEY_NAME,
    StoreKeys,
    derive_keys,
    make_store_key,
    read_store_key,
)
from fedket.keys.store.streams import settle
from fedket.types import Secret


class Parts(NamedTuple):
    """What an open store works with."""

    connection: sqlite3.Connection
    identity: Identity
    keys: StoreKeys
    files: SegmentFiles


def open_parts(directory: Path, owner: int, store_key: Secret | None, disk: Disk) -> Parts:
    """Open a locked store, or make a new one in an empty directory.

    Raises:
        DiskFullError: There is no room to write that reserved bytes are burned.
        KeyMaterialError: The store is another party's or damaged, or the store key does not fit.
    """
    with explained(directory):
        connection = open_database(directory)
        try:
            store_key = store_key or _own_key(connection, directory, disk)
            if not has_tables(connection):
                _create(connection, directory, owner, store_key, disk)
            identity = read_identity(connection, directory)
            keys = derive_keys(store_key, identity.store_id)
            _check(connection, directory, owner, identity, keys)
            files = SegmentFiles(directory, identity.store_id, keys.wrap, disk)
        except BaseException:
            connection.close()
            raise
        parts = Parts(connection, identity, keys, files)
        try:
            _burn_reserved(parts, disk)
            sweep(parts)
        except BaseException:
            close_parts(parts)
            raise
    return parts


def close_parts(parts: Parts) -> None:
    """Close the files of a store."""
    parts.files.close()
    parts.connection.close()


def sweep(parts: Parts) -> None:
    """Erase what the database does not know."""
    rows = parts.connection.execute("SELECT * FROM segments")
    parts.files.sweep(Segment(*row) for row in rows)


def write_ledger(parts: Parts, entries: list[Entry]) -> None:
    """Append entries and seal the state they led to; part of the caller's transaction."""
    if not entries:
        return
    append(parts.connection, parts.identity, entries)
    seal(parts.connection, parts.identity, parts.keys.seal)


def _own_key(connection: sqlite3.Connection, directory: Path, disk: Disk) -> Secret:
    """The store key in the directory; a new store gets one."""
    if has_tables(connection) or (directory / KEY_NAME).exists():
        return read_store_key(directory / KEY_NAME)
    return make_store_key(directory, disk)


def _create(
    connection: sqlite3.Connection, directory: Path, owner: int, store_key: Secret, disk: Disk
) -> None:
    """Lay out a new store; a crash leaves all of the database or nothing."""
    if (directory / KEYS_NAME).exists():
        raise KeyMaterialError(
            f"the pad store {directory} has keys but no {DATABASE_NAME}, so nobody knows which "
            "were used; put the file back, or begin with an empty directory and new keys"
        )
    with disk.transaction(connection):
        create_tables(connection, owner)
        identity = read_identity(connection, directory)
        seal(connection, identity, derive_keys(store_key, identity.store_id).seal)


def _check(
    connection: sqlite3.Connection, directory: Path, owner: int, identity: Identity, keys: StoreKeys
) -> None:
    if identity.owner != owner:
        raise KeyMaterialError(
            f"the pad store {directory} is party {identity.owner}'s, not party {owner}'s; each "
            "party has a store of its own"
        )
    if not is_sealed(connection, identity, keys.seal):
        raise KeyMaterialError(
            f"the store key does not fit the pad store {directory}, or its ledger or marks were "
            "edited; `fedket keys verify` tells which"
        )


def _burn_reserved(parts: Parts, disk: Disk) -> None:
    """Burn what a process that ended had reserved."""
    rows = parts.connection.execute("SELECT * FROM reserved").fetchall()
    if not rows:
        return
    with disk.transaction(parts.connection):
        entries = list[Entry]()
        for sender, receiver, start, length, *use in rows:
            piece = (Event.BURNED, start, length)
            entries += settle(parts.connection, (sender, receiver), [piece], Use(*use))
        drop_segments(parts.connection, {(row[0], row[1]) for row in rows})
        write_ledger(parts, entries)
