"""Writing files so that a crash at any moment leaves the old file or the new one, never half."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a whole file: temporary file beside it, fsync, rename, fsync of the directory.

    A `kill -9` may leave the temporary file behind; `sweep` takes it away.

    Raises:
        OSError: With `path` as its file name, if the directory is missing or the disk is full;
            the old file is then untouched.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with _blaming(path):
        try:
            with temporary.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)


def append_line(path: Path, line: str) -> None:
    """Append one line and force it to disk.

    Raises:
        OSError: With `path` as its file name; half a line may have been written.
    """
    with _blaming(path), path.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def sweep(directory: Path) -> None:
    """Remove the temporary files of writers that were killed."""
    for leftover in directory.glob(".*.????????.tmp"):
        leftover.unlink(missing_ok=True)


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Name the file in errors of a file handle, which know only a number."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _sync_directory(directory: Path) -> None:
    """Make the rename durable; a no-op where directories cannot be opened (Windows)."""
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def lock_directory(directory: Path) -> Iterator[bool]:
    """Hold a directory against other processes; False if one of them holds it already.

    The lock goes with the process, also when it is killed, and leaves no file. Where the system
    cannot lock directories (Windows, some network disks) nobody is kept out.
    """
    if os.name != "posix":
        yield True
        return
    import fcntl

    handle = os.open(directory, os.O_RDONLY)
    try:
        yield _try_lock(fcntl.flock, handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)


def _try_lock(flock: Callable[[int, int], None], handle: int, operation: int) -> bool:
    try:
        flock(handle, operation)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
