"""News of a party, kept beside its files with their time. Imports nothing large."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

NEWS = "news.txt"
"""In a party's own files: what it said."""

NEWS_BYTES = 2**20
"""Of `news.txt`; when there are more, the older half goes."""

Say = Callable[[str], None]


def now() -> str:
    """The time as states and news say it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def keeping_news(folder: Callable[[], Path], say: Say) -> Say:
    """Return a place for news that also keeps them, in one line each.

    Args:
        folder: -> the party's own files; asked when there is news.
        say: Where they go beside.
    """
    lock = Lock()

    def kept(news: str) -> None:
        with lock, suppress(OSError):  # a full disk ends no run here
            path = folder() / NEWS
            _shorten(path)
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{now()} {' '.join(news.split())}\n")
        say(news)

    return kept


def _shorten(path: Path) -> None:
    """Keep the newer half of a file that has grown too long."""
    if path.exists() and path.stat().st_size > NEWS_BYTES:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        new = path.with_name(f".{NEWS}.new")
        new.write_text("".join(lines[len(lines) // 2 :]), encoding="utf-8")
        new.replace(path)
