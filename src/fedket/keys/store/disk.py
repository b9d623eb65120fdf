"""Writes that are on the disk when they return, each with a name at which a test may kill us.

`kill -9` keeps what was written but not synced, a power cut does not; the order of writes and
syncs is therefore part of the store's contract and visible as the order of crash points:
`before write segment`, `after write segment`, `before sync segment`, ...

Windows is not supported: the store needs `flock` and directories that can be synced. One process
per store, and a little room on the disk is kept for the day it is full.
"""

import errno
import os
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from fedket.errors import KeyMaterialError

CrashPoint = Callable[[str], None]
"""Is told the name of every step before and after it; a test may kill the process there."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""The file system has no room, or this user may not have more of it."""

NO_ROOM_BYTES = 1 << 16
"""With less than this free, an unspecific error of SQLite is put down to the full disk."""

LOCK_NAME, BALLAST_NAME = "lock", "ballast"

BALLAST_BYTES = 256 * 1024
"""Room that opening a store needs to write that reserved bytes are burned, for some 500 streams."""


class DiskFullError(KeyMaterialError):
    """The pad store has no room to write; nothing was lost and nothing will be used twice."""


def no_crash(_name: str) -> None:
    """Do nothing at crash points: what everybody but a test wants."""


class Disk(NamedTuple):
    """Durable writes; `crash_point` is told of each."""

    crash_point: CrashPoint = no_crash

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step before and after it is done."""
        self.crash_point(f"before {name}")
        yield
        self.crash_point(f"after {name}")

    def write(self, handle: int, content: bytes, position: int, what: str) -> None:
        """Write all of `content` at a position of an open file; not yet durable."""
        with self.step(f"write {what}"):
            view = memoryview(content)
            while view:
                written = os.pwrite(handle, view, position)
                view, position = view[written:], position + written

    def sync(self, handle: int, what: str) -> None:
        """Force a file's content to the medium."""
        with self.step(f"sync {what}"):
            if sys.platform == "darwin":
                import fcntl

                fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            else:
                os.fsync(handle)

    def sync_directory(self, directory: Path) -> None:
        """Make files that were added to a directory durable."""
        handle = os.open(directory, os.O_RDONLY)
        try:
            self.sync(handle, "directory")
        finally:
            os.close(handle)

    def remove(self, path: Path, what: str) -> None:
        """Remove a file if it is there."""
        with self.step(f"remove {what}"):
            path.unlink(missing_ok=True)

    @contextmanager
    def transaction(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Run statements as the only writer; durable when this returns, undone when it raises."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            with self.step("commit"):
                connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")  # refused where SQLite has done so itself
            raise


@contextmanager
def explained(directory: Path) -> Iterator[None]:
    """Turn errors of the system and of SQLite into errors of the pad store in `directory`.

    Raises:
        DiskFullError: There is no room.
        KeyMaterialError: Any other of them.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if is_full(error, directory):
            raise DiskFullError(
                f"no room for the pad store {directory}: the disk or quota is full; nothing was "
                "lost, free some space and try again"
            ) from error
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise KeyMaterialError(
            f"cannot use the pad store {directory}: {reason or type(error).__name__}; check the "
            "disk and the permissions, then open the store again"
        ) from error


def is_full(error: OSError | sqlite3.Error, directory: Path) -> bool:
    """Whether an error says that the disk is full."""
    if isinstance(error, OSError):
        return error.errno in FULL
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest is detail
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        space = os.statvfs(directory)
        return space.f_bavail * space.f_frsize < NO_ROOM_BYTES
    return code == sqlite3.SQLITE_FULL


def check_private(directory: Path) -> None:
    """Refuse a directory that others can write to, or take the place of.

    Raises:
        KeyMaterialError: They can; a store's directory is its owner's alone, and none above it is
            everybody's (with the sticky bit, as of `/tmp`, it may be).
    """
    for place, forbidden in ((directory, 0o022), *((p, 0o002) for p in directory.parents)):
        mode = stat.S_IMODE(place.stat().st_mode)
        if mode & forbidden and (place == directory or not mode & stat.S_ISVTX):
            raise KeyMaterialError(
                f"others can write to {place} (mode {mode:04o}), so they can replace the pad store "
                f"{directory}; run: chmod go-w {place}, or put the store elsewhere"
            )


def lock_store(directory: Path) -> int:
    """Take the store's lock; it is released by closing the handle, also by `kill -9`.

    Returns:
        The handle of the lock file.

    Raises:
        KeyMaterialError: Another process (or this one) holds it, or the file system has no locks:
            without one the store stays closed.
    """
    import fcntl

    with explained(directory):
        handle = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(handle)
        raise KeyMaterialError(
            f"the pad store {directory} is already open (process {holder}); one process per store: "
            "stop that one first"
        ) from None
    except OSError as error:
        os.close(handle)
        raise KeyMaterialError(
            f"cannot lock the pad store {directory}: {error.strerror}; put it on a file system "
            "with locks, such as a local disk"
        ) from None
    with suppress(OSError):  # who holds it is for people; a full disk must not stop us
        os.truncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def keep_ballast(directory: Path) -> None:
    """Allocate the ballast's blocks; best effort, a store works without."""
    if not hasattr(os, "posix_fallocate"):
        return
    with suppress(OSError):
        handle = os.open(directory / BALLAST_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(handle, 0, BALLAST_BYTES)
        finally:
            os.close(handle)


def drop_ballast(directory: Path) -> bool:
    """Give the ballast's blocks back; whether there was any."""
    path = directory / BALLAST_NAME
    had = path.exists()
    path.unlink(missing_ok=True)
    return had
