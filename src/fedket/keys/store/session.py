"""An open store: one process, one thread at a time, one transaction at a time.

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
from fedket.keys.store.audit import Entry
from fedket.keys.store.disk import Disk, DiskFullError, explained, is_full
from fedket.keys.store.lock import drop_ballast, keep_ballast, lock_store
from fedket.keys.store.opening import Parts, close_parts, open_parts, sweep, write_ledger
from fedket.keys.store.places import drop_segments
from fedket.keys.store.reservation import Reservation
from fedket.keys.store.segments import Segment
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


class Session:
    """A locked store with its live reservations."""

    def __init__(self, directory: Path, owner: int, store_key: Secret | None, disk: Disk) -> None:
        with explained(directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory, self.state = directory, "open"
        self._disk, self._process, self._mutex = disk, os.getpid(), threading.RLock()
        self._live: dict[Stream, list[Reservation]] = {}
        self._lock = lock_store(directory)
        try:
            self._parts = _open_even_if_full(directory, owner, store_key, disk)
        except BaseException:
            os.close(self._lock)
            raise
        self.database, self.files = self._parts.connection, self._parts.files

    def close(self) -> None:
        """Settle all reservations and release the store; harmless when it is closed."""
        with self._mutex:
            if self.state == "closed" or self._process != os.getpid():
                return
            # What stays reserved is burned by the next opening.
            with suppress(KeyMaterialError), self.changing() as change:
                self.settle(change, self._all_live())
            self.state = "closed"
            try:
                close_parts(self._parts)
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
                    ended = streams.ended_in(change.entries)
                    finished = drop_segments(self.database, ended)
                    write_ledger(self._parts, change.entries)
            except KeyMaterialError:
                self.state = "open"
                raise
            except (OSError, sqlite3.Error) as error:
                if is_full(error, self.directory):
                    self._clear(change)
                raise
            self._follow(change)
            self.files.erase(*finished)
            self.state = "open"

    def settle(self, change: Change, reservations: Iterable[Reservation]) -> None:
        """End reservations, and all of which every byte was handed out."""
        used_up = (r for r in self._all_live() if r.next == r.end)
        change.settled = list(dict.fromkeys([*reservations, *used_up]))
        for ended in change.settled:
            change.entries += streams.settle(self.database, ended.stream, ended.pieces(), ended.use)

    def live(self, named: Iterable[Stream]) -> list[Reservation]:
        """The live reservations of some streams."""
        return [r for stream in named for r in self._live.get(stream, ())]

    def _all_live(self) -> list[Reservation]:
        return self.live(self._live)

    def _clear(self, change: Change) -> None:
        """Make room again after a deposit that did not fit."""
        if change.written:
            with suppress(OSError, sqlite3.Error):
                sweep(self._parts)
        self.state = "open"

    def _follow(self, change: Change) -> None:
        """Bring memory in line with the database."""
        self.files.claim(change.written)
        for ended in change.settled:
            self._live[ended.stream].remove(ended)
        for begun in change.reserved:
            self._live.setdefault(begun.stream, []).append(begun)


def _open_even_if_full(directory: Path, owner: int, store_key: Secret | None, disk: Disk) -> Parts:
    """Open a store, with the room of its ballast if it takes that."""
    try:
        parts = open_parts(directory, owner, store_key, disk)
    except DiskFullError:
        if not drop_ballast(directory):
            raise
        parts = open_parts(directory, owner, store_key, disk)
    keep_ballast(directory)
    return parts
