"""An open store: one process, one thread at a time, one transaction at a time.

What was reserved when the process before ended, in whatever way, is burned on opening: nobody can
tell how much of it was used. What the database does not know (half a deposit, erased segments whose
keys were not destroyed yet) is erased.

What a transaction does beside the database (handing segments over, ending reservations, erasing
keys) follows its commit. Until that is done the store is in doubt, and it stays so, until it is
opened again, if anything but a refusal or a full disk comes between.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fedket.errors import KeyMaterialError
from fedket.keys.store import streams
from fedket.keys.store.database import (
    DATABASE_NAME,
    create_tables,
    has_tables,
    open_database,
    read_identity,
)
from fedket.keys.store.disk import (
    BALLAST_NAME,
    LOCK_NAME,
    Disk,
    DiskFullError,
    check_private,
    drop_ballast,
    explained,
    is_full,
    keep_ballast,
    lock_store,
)
from fedket.keys.store.ledger import Entry, Event, Use, append, is_sealed, seal
from fedket.keys.store.segments import KEYS_NAME, Segment, SegmentFiles, covering, drop_segments
from fedket.keys.store.store_key import KEY_NAME, derive_keys, make_store_key, read_store_key
from fedket.keys.store.streams import Reservation
from fedket.types import Secret, Stream


@dataclass(slots=True)
class Change:
    """What a transaction is about, beside the rows it writes.

    Attributes:
        entries: For the ledger.
        written: Segments that were written for it.
        reserved: Reservations that begin.
        settled: Reservations that end.
    """

    entries: list[Entry] = field(default_factory=list)
    written: list[Segment] = field(default_factory=list)
    reserved: list[Reservation] = field(default_factory=list)
    settled: list[Reservation] = field(default_factory=list)


class OpenStore:
    """A locked store with its live reservations."""

    def __init__(self, directory: Path, owner: int, store_key: Secret | None, disk: Disk) -> None:
        with explained(directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_private(directory.resolve())
            if not (directory / DATABASE_NAME).exists():
                _check_new(directory)
        self.directory, self.state = directory, "open"
        self._disk, self._process, self._mutex = disk, os.getpid(), threading.RLock()
        self._live: dict[Stream, list[Reservation]] = {}
        self._lock = lock_store(directory)
        try:
            try:
                self._open(owner, store_key)
            except DiskFullError:  # the ballast is kept for this
                if not drop_ballast(directory):
                    raise
                self._open(owner, store_key)
            keep_ballast(directory)
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self, owner: int, store_key: Secret | None) -> None:
        """Open the parts, or make a new store in an empty directory, and put right what was left.

        Raises:
            DiskFullError: There is no room to write that reserved bytes are burned.
            KeyMaterialError: The store is another party's or damaged, or the store key does not
                fit.
        """
        with explained(self.directory):
            self.database = open_database(self.directory)
            try:
                if store_key is None:
                    store_key = self._own_key()
                if not has_tables(self.database):
                    self._create(owner, store_key)
                self._identify(owner, store_key)
                self.files = SegmentFiles(
                    self.directory, self._identity, self._keys.wrap, self._disk
                )
            except BaseException:
                self.database.close()
                raise
            try:
                self._burn_reserved()
                self._sweep()
            except BaseException:
                self.close_parts()
                raise

    def _own_key(self) -> Secret:
        """The store key in the directory; a new store gets one."""
        path = self.directory / KEY_NAME
        if has_tables(self.database) or path.exists():
            return read_store_key(path)
        return make_store_key(self.directory, self._disk)

    def _create(self, owner: int, store_key: Secret) -> None:
        """Lay out a new store; a crash leaves all of the database or nothing."""
        _check_new(self.directory)
        with self._disk.transaction(self.database):
            create_tables(self.database, owner)
            identity = read_identity(self.database, self.directory)
            seal(self.database, identity, derive_keys(store_key, identity.store_id).seal)

    def _identify(self, owner: int, store_key: Secret) -> None:
        self._identity = read_identity(self.database, self.directory)
        self._keys = derive_keys(store_key, self._identity.store_id)
        if self._identity.owner != owner:
            raise KeyMaterialError(
                f"the pad store {self.directory} is party {self._identity.owner}'s, not party "
                f"{owner}'s; each party has a store of its own"
            )
        if not is_sealed(self.database, self._identity, self._keys.seal):
            raise KeyMaterialError(
                f"the store key does not fit the pad store {self.directory}, or its ledger or "
                "marks were edited; `fedket keys verify` tells which"
            )

    def _burn_reserved(self) -> None:
        """Burn what a process that ended had reserved."""
        rows = self.database.execute("SELECT * FROM reserved").fetchall()
        if not rows:
            return
        with self._disk.transaction(self.database):
            entries = list[Entry]()
            for sender, receiver, start, length, *use in rows:
                piece = (Event.BURNED, start, length)
                entries += streams.settle(self.database, (sender, receiver), [piece], Use(*use))
            drop_segments(self.database, {(row[0], row[1]) for row in rows})
            self._write(entries)

    def _sweep(self) -> None:
        """Erase what the database does not know."""
        rows = self.database.execute("SELECT * FROM segments")
        self.files.sweep(Segment(*row) for row in rows)

    def _write(self, entries: list[Entry]) -> None:
        """Append to the ledger and seal the state it led to; part of a transaction."""
        if entries:
            append(self.database, self._identity, entries)
            self.reseal()

    def reseal(self) -> None:
        """Seal the ledger and the marks as they are; part of a transaction."""
        seal(self.database, self._identity, self._keys.seal)

    def close_parts(self) -> None:
        """Close the files, and nothing more."""
        self.files.close()
        self.database.close()

    def close(self) -> None:
        """Settle all reservations and release the store; harmless when it is closed."""
        with self._mutex:
            if self.state == "closed" or self._process != os.getpid():
                return
            # What stays reserved is burned by the next opening.
            with suppress(KeyMaterialError), self.changing() as change:
                self.settle(change, self.live(self._live))
            self.state = "closed"
            try:
                self.close_parts()
            finally:
                os.close(self._lock)

    @contextmanager
    def using(self) -> Iterator[None]:
        """Admit one thread of the right process to an open store."""
        with self._mutex:
            if self._process != os.getpid():
                raise KeyMaterialError(
                    f"the pad store {self.directory} was opened by process {self._process}; open "
                    "it in the process that uses it"
                )
            if self.state != "open":
                raise KeyMaterialError(
                    f"the pad store {self.directory} is {self.state}; open it again"
                )
            with explained(self.directory):
                yield

    @contextmanager
    def changing(self) -> Iterator[Change]:
        """One durable transaction, and what follows its commit."""
        with self.using():
            change, self.state = Change(), "in doubt"
            try:
                with self._disk.transaction(self.database):
                    yield change
                    finished = drop_segments(self.database, streams.ended_in(change.entries))
                    self._write(change.entries)
            except KeyMaterialError:
                self.state = "open"
                raise
            except (OSError, sqlite3.Error) as error:
                if is_full(error, self.directory):
                    self._make_room(change)
                raise
            self._follow(change)
            self.files.erase(*finished)
            self.state = "open"

    def settle(self, change: Change, reservations: Iterable[Reservation]) -> None:
        """End reservations, and all of which every byte was handed out."""
        used_up = (r for r in self.live(self._live) if r.next == r.end)
        change.settled = list(dict.fromkeys([*reservations, *used_up]))
        for r in change.settled:
            change.entries += streams.settle(self.database, r.stream, r.ended(), r.use)

    def live(self, named: Iterable[Stream]) -> list[Reservation]:
        """The live reservations of some streams."""
        return [r for stream in named for r in self._live.get(stream, ())]

    def read(self, stream: Stream, start: int, end: int) -> bytes:
        """The bytes of a stream from `start` to before `end`."""
        parts = []
        for segment in covering(self.database, stream, start, end):
            content = self.files.read(segment)
            first = max(start - segment.start, 0)
            parts.append(content[first : end - segment.start])
        return b"".join(parts)

    def _make_room(self, change: Change) -> None:
        """Erase a deposit that did not fit."""
        if change.written:
            with suppress(OSError, sqlite3.Error):
                self._sweep()
        self.state = "open"

    def _follow(self, change: Change) -> None:
        """Bring memory in line with the database."""
        self.files.claim(change.written)
        for ended in change.settled:
            self._live[ended.stream].remove(ended)
        for begun in change.reserved:
            self._live.setdefault(begun.stream, []).append(begun)


def _check_new(directory: Path) -> None:
    """Refuse to make a store of a directory with anything in it but what a crash may have left."""
    if (directory / KEYS_NAME).exists():
        raise KeyMaterialError(
            f"the pad store {directory} has keys but no {DATABASE_NAME}, so nobody knows "
            "which were used; put the file back, or begin with an empty directory and new keys"
        )
    ours = (DATABASE_NAME, KEY_NAME, f".{KEY_NAME}.tmp", LOCK_NAME, BALLAST_NAME)
    names = (path.name for path in directory.iterdir())
    if strangers := sorted(n for n in names if n.partition("-")[0] not in ours):
        raise KeyMaterialError(
            f"a pad store begins in an empty directory, {directory} holds `{strangers[0]}`; name "
            "another one, or the store's own"
        )
