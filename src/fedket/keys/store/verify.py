"""Checking a store's ledger: its chain, that it replays to the marks, and its seal.

Found are: entries that were changed, deleted, inserted or reordered (the chain breaks), a ledger
cut short (the marks and the seal differ), edited marks, ranges that overlap or run backwards, and
rounds or keys that came twice. Not found is an older copy of the whole directory: see `connect`.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from fedket.keys.store.audit import Entry, chained, genesis, is_sealed, records
from fedket.keys.store.disk import explained
from fedket.keys.store.replay import Replay
from fedket.keys.store.schema import Identity, read_database, read_identity
from fedket.keys.store.store_key import KEY_NAME, derive_keys, read_store_key
from fedket.keys.store.streams import read_all_marks
from fedket.types import Secret

MAX_FINDINGS = 20
"""More are not listed."""


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


def verify(directory: Path, store_key: Secret | None = None) -> Verification:
    """Check a store's ledger, also while a process has the store open.

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
        replay = Replay()
        findings = list(islice(_findings(connection, identity, replay, store_key), MAX_FINDINGS))
        return Verification(replay.entries, tuple(findings), store_key is not None)


def _findings(
    connection: sqlite3.Connection, identity: Identity, replay: Replay, store_key: Secret | None
) -> Iterator[str]:
    at, previous = 0, genesis(identity)
    for seq, entry, found in records(connection):
        if seq != at + 1:
            yield f"entries {at + 1}..{seq - 1} are missing"
        if not _is_well_formed(entry) or chained(previous, entry) != found:
            yield f"entry {seq} was changed, moved or inserted, or the one before it removed"
        at, previous = seq, str(found)
        if _is_well_formed(entry):
            yield from (f"entry {seq}: {problem}" for problem in replay.add(entry))
    yield from replay.differences(read_all_marks(connection), _reserved(connection))
    if store_key is not None:
        keys = derive_keys(store_key, identity.store_id)
        if not is_sealed(connection, identity, keys.seal):
            yield "the seal does not fit: the end of the ledger or the marks were edited"


def _is_well_formed(entry: Entry) -> bool:
    """Whether numbers are numbers; SQLite takes anything in any column."""
    wanted = (str, int, int, int, int, str, str, int, str, str)
    return all(isinstance(part, kind) for part, kind in zip(entry, wanted, strict=True))


def _reserved(connection: sqlite3.Connection) -> dict[tuple[int, int, int], int]:
    """Ranges that are reserved: (sender, receiver, start) -> length."""
    rows = connection.execute("SELECT sender, receiver, start, length FROM reserved")
    return {(row[0], row[1], row[2]): row[3] for row in rows}
