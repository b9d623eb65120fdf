"""The store's SQLite database: marks of the streams, where their bytes lie, and the ledger.

WAL mode with `synchronous=FULL`: a commit is on the medium when it returns. With NORMAL a power cut
could take back a reservation whose bytes are already used. No key byte is ever in the database.

Offsets and lengths are in bytes of a stream. Bytes below `high_water` are reserved, consumed or
burned; bytes from there to `deposited` are available.
"""

import os
import secrets
import sqlite3
from pathlib import Path
from typing import NamedTuple

from fedket.errors import KeyMaterialError
from fedket.types import Stream

DATABASE_NAME = "pads.sqlite"
FORMAT = 2
BUSY_TIMEOUT_S = 5.0

TABLES = (
    """CREATE TABLE store (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        format INTEGER NOT NULL,
        store_id TEXT NOT NULL,
        owner INTEGER NOT NULL,
        next_file INTEGER NOT NULL,
        seal TEXT NOT NULL)""",
    """CREATE TABLE streams (
        sender INTEGER NOT NULL,
        receiver INTEGER NOT NULL,
        deposited INTEGER NOT NULL,
        high_water INTEGER NOT NULL,
        consumed INTEGER NOT NULL,
        burned INTEGER NOT NULL,
        CHECK (0 <= consumed AND 0 <= burned),
        CHECK (consumed + burned <= high_water AND high_water <= deposited),
        PRIMARY KEY (sender, receiver)) WITHOUT ROWID""",
    """CREATE TABLE reserved (
        sender INTEGER NOT NULL,
        receiver INTEGER NOT NULL,
        start INTEGER NOT NULL,
        length INTEGER NOT NULL CHECK (length > 0),
        purpose TEXT NOT NULL,
        run TEXT NOT NULL,
        round_num INTEGER NOT NULL,
        mode TEXT NOT NULL,
        PRIMARY KEY (sender, receiver, start)) WITHOUT ROWID""",
    """CREATE TABLE segments (
        slot INTEGER PRIMARY KEY,
        sender INTEGER NOT NULL,
        receiver INTEGER NOT NULL,
        start INTEGER NOT NULL,
        length INTEGER NOT NULL CHECK (length > 0),
        sealed INTEGER NOT NULL CHECK (length <= sealed),
        file INTEGER NOT NULL,
        position INTEGER NOT NULL)""",
    "CREATE INDEX segments_by_place ON segments (sender, receiver, start)",
    "CREATE INDEX segments_by_file ON segments (file)",
    """CREATE TABLE ledger (
        seq INTEGER PRIMARY KEY,
        event TEXT NOT NULL,
        sender INTEGER NOT NULL,
        receiver INTEGER NOT NULL,
        start INTEGER NOT NULL,
        length INTEGER NOT NULL,
        purpose TEXT NOT NULL,
        run TEXT NOT NULL,
        round_num INTEGER NOT NULL,
        mode TEXT NOT NULL,
        key_id TEXT NOT NULL,
        hash TEXT NOT NULL)""",
    "CREATE TABLE keys (key_id TEXT NOT NULL UNIQUE, piece TEXT NOT NULL)",
    "CREATE INDEX keys_by_piece ON keys (piece)",
    """CREATE INDEX rounds_of_streams ON ledger (sender, receiver, run, purpose, round_num)
        WHERE event = 'reserved'""",
    """CREATE TRIGGER marks_only_go_up BEFORE UPDATE ON streams
        WHEN NEW.high_water < OLD.high_water OR NEW.consumed < OLD.consumed
        OR NEW.burned < OLD.burned
        BEGIN SELECT RAISE(ABORT, 'marks of a stream only go up'); END""",
    """CREATE TRIGGER streams_stay BEFORE DELETE ON streams
        BEGIN SELECT RAISE(ABORT, 'streams stay'); END""",
    """CREATE TRIGGER ledger_is_not_changed BEFORE UPDATE ON ledger
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER ledger_is_not_cut BEFORE DELETE ON ledger
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER keys_are_not_changed BEFORE UPDATE ON keys
        BEGIN SELECT RAISE(ABORT, 'keys that came stay known'); END""",
    """CREATE TRIGGER keys_are_not_forgotten BEFORE DELETE ON keys
        BEGIN SELECT RAISE(ABORT, 'keys that came stay known'); END""",
)
"""The triggers stop mistakes, also by hand; against malice there are `verify` and the seal."""


class StoreIdentity(NamedTuple):
    """Which store this is.

    Attributes:
        store_id: Random name, 32 hexadecimal digits.
        owner: The party whose end of all links it holds.
    """

    store_id: str
    owner: int


def open_database(directory: Path) -> sqlite3.Connection:
    """Open the database for writing, or make an empty file; transactions are explicit."""
    path = directory / DATABASE_NAME
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite would let everybody read it
    connection = sqlite3.connect(
        path,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise KeyMaterialError(
                f"the file system of {directory} cannot hold a pad store (SQLite journal mode "
                f"`{mode}` instead of `wal`); put it on a local disk"
            )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA checkpoint_fullfsync = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def read_database(directory: Path) -> sqlite3.Connection:
    """Open the database for reading one consistent state, also while a process writes.

    Raises:
        KeyMaterialError: There is no pad store.
    """
    path = directory / DATABASE_NAME
    if not path.is_file():
        raise KeyMaterialError(
            f"there is no pad store in {directory} (no {DATABASE_NAME}); name its directory"
        )
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        uri=True,
    )
    connection.execute("BEGIN")
    return connection


def create_tables(connection: sqlite3.Connection, owner: int) -> None:
    """Lay out an empty database; part of the caller's transaction."""
    for statement in TABLES:
        connection.execute(statement)
    connection.execute(
        "INSERT INTO store VALUES (1, ?, ?, ?, 0, '')", (FORMAT, secrets.token_hex(16), owner)
    )


def has_tables(connection: sqlite3.Connection) -> bool:
    """Whether the database was laid out."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'store'").fetchone()
    return found is not None


def read_identity(connection: sqlite3.Connection, directory: Path) -> StoreIdentity:
    """Read which store this is.

    Raises:
        KeyMaterialError: It is not a pad store, or of another format.
    """
    rows = []
    if has_tables(connection):
        rows = connection.execute("SELECT format, store_id, owner FROM store").fetchall()
    if len(rows) != 1:
        raise KeyMaterialError(f"{directory / DATABASE_NAME} is not a pad store; name another one")
    found, store_id, owner = rows[0]
    if found != FORMAT:
        raise KeyMaterialError(
            f"the pad store {directory} has format {found}, this version reads {FORMAT}; use the "
            "version of fedket that wrote it"
        )
    return StoreIdentity(store_id, owner)


class StreamMarks(NamedTuple):
    """Where a stream stands at this end, in bytes.

    Attributes:
        deposited: End of the key that has come.
        high_water: End of what was ever set aside or skipped; allocation goes on from here.
        consumed: Bytes handed out.
        burned: Bytes given up or skipped.
    """

    deposited: int = 0
    high_water: int = 0
    consumed: int = 0
    burned: int = 0

    @property
    def available(self) -> int:
        """Bytes nobody has touched."""
        return self.deposited - self.high_water

    @property
    def reserved(self) -> int:
        """Bytes set aside and neither consumed nor burned yet."""
        return self.high_water - self.consumed - self.burned


def read_marks(connection: sqlite3.Connection, stream: Stream) -> StreamMarks:
    """Read where a stream stands; one that never had key stands at zero."""
    row = connection.execute(
        "SELECT deposited, high_water, consumed, burned FROM streams "
        "WHERE sender = ? AND receiver = ?",
        stream,
    ).fetchone()
    return StreamMarks(*row) if row else StreamMarks()


def read_all_marks(connection: sqlite3.Connection) -> dict[Stream, StreamMarks]:
    """Read where all streams stand, in ascending order."""
    rows = connection.execute("SELECT * FROM streams ORDER BY sender, receiver")
    return {(row[0], row[1]): StreamMarks(*row[2:]) for row in rows}


def write_marks(connection: sqlite3.Connection, stream: Stream, marks: StreamMarks) -> None:
    """Note where a stream stands; part of the caller's transaction."""
    connection.execute(
        "INSERT INTO streams VALUES (?,?,?,?,?,?) ON CONFLICT (sender, receiver) DO UPDATE SET "
        "deposited = excluded.deposited, high_water = excluded.high_water, "
        "consumed = excluded.consumed, burned = excluded.burned",
        (*stream, *marks),
    )
