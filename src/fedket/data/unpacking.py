"""How far a compressed file may grow, so that a megabyte does not take all memory."""

import zipfile
from pathlib import Path

from fedket.errors import DataError

ALWAYS, GROWTH = 2**28, 100
"""A file may unpack to 256 MiB, and a larger one to a hundred times its size: data sets grow to
some ten times theirs, zeros to a thousand times."""


def allowed_bytes(path: Path) -> int:
    """The most that a compressed file may unpack to, in bytes."""
    return max(ALWAYS, GROWTH * path.stat().st_size)


def check_growth(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse an archive that would grow too far, before any of it is unpacked.

    Raises:
        DataError: Its members together are too large.
    """
    claimed = sum(member.file_size for member in archive.infolist())
    if claimed > allowed_bytes(path):
        raise too_large(path, f"unpacks to {claimed} bytes")


def too_large(path: Path, what: str) -> DataError:
    """An error that says what the bound is, and how to store what is meant to be so large."""
    return DataError(
        f"{path} {what}, {allowed_bytes(path)} are allowed ({GROWTH} times its size, and always "
        f"{ALWAYS}); if it is meant to be so large, store it uncompressed (numpy.savez)"
    )
