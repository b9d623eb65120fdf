"""One process per pad store, and a little room on the disk kept for the day it is full."""

import os
from contextlib import suppress
from pathlib import Path

from fedket.errors import KeyMaterialError
from fedket.keys.store.disk import explained

LOCK_NAME, BALLAST_NAME = "lock", "ballast"

BALLAST_BYTES = 256 * 1024
"""Room that opening a store needs to write that reserved bytes are burned, for some 500 streams."""


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
