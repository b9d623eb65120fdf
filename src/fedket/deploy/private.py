"""Files of a party that nobody else on its machine may read: kits, keys, samples, pads, logs."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fedket.errors import ConfigError
from fedket.files import lock_directory

UMASK = 0o077
"""Of every process of a party: what it writes is its user's alone."""

OTHERS = 0o077
"""The rights of group and others."""


def make_private(folder: Path) -> list[Path]:
    """Take the rights of group and others away from a folder and all in it.

    Returns:
        What they had rights to.

    Raises:
        ConfigError: It is not ours to change.
    """
    found = []
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink() or not path.stat().st_mode & OTHERS:
            continue
        try:
            path.chmod(path.stat().st_mode & ~OTHERS)
        except OSError as error:
            raise ConfigError(
                f"other users of this machine have rights to {path} ({error.strerror}); as its "
                f"owner, run: chmod -R go= {folder}"
            ) from None
        found.append(path)
    return found


def open_to_others(paths: Iterable[Path]) -> list[Path]:
    """Return those of some files, or folders with files, that other users can read."""
    found = []
    for path in paths:
        files = path.rglob("*") if path.is_dir() else [path]
        inside = path / "file" if path.is_dir() else path
        if _is_reached(inside) and any(f.stat().st_mode & OTHERS for f in files if f.is_file()):
            found.append(path)
    return found


def _is_reached(path: Path) -> bool:
    """Whether others get as far as a path: any folder on the way may keep them out."""
    return all(folder.stat().st_mode & 0o011 for folder in path.resolve().parents)


@contextmanager
def held(kit: Path) -> Iterator[None]:
    """Hold a startup kit as long as the block lasts.

    Raises:
        ConfigError: Another process on this machine does.
    """
    with lock_directory(kit / "startup") as ours:
        if not ours:
            raise ConfigError(
                f"{kit} runs already on this machine; stop that process first (a kit runs once, or "
                "its two copies throw each other out)"
            )
        yield
