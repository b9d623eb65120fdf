"""One file, from the disk or over HTTP: checked, atomic, with a progress bar on standard error.

The file appears under its name only when it is complete and its checksum is right.
"""

import os
from pathlib import Path

from fedket.errors import DataError

TIMEOUT_S = 30.0
"""Longest wait for a server's next bytes."""


class ProgressBar:
    """rich's progress bar in the form that pooch drives; silent where there is no terminal."""

    def __init__(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        self.total = 0
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._progress.add_task(name, total=None)
        self._progress.start()

    def update(self, num_bytes: int) -> None:
        """Advance by so many bytes."""
        self._progress.update(self._task, total=self.total, advance=num_bytes)

    def reset(self) -> None:
        """Go back to zero (pooch then fills the bar)."""
        self._progress.reset(self._task)

    def close(self) -> None:
        """Stop drawing; harmless when repeated."""
        self._progress.stop()


def find_file(path: str, directory: Path, advice: str) -> Path:
    """A file at a path, or of that name below a directory; `DataError` with `advice` if at none."""
    candidates = [Path(path).expanduser(), directory / path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    tried = " and ".join(str(candidate) for candidate in dict.fromkeys(candidates))
    raise DataError(f"no file at {tried}; {advice}")


def fetch_file(name: str, base_urls: tuple[str, ...], sha256: str, folder: Path) -> Path:
    """Download a file from the first mirror that delivers it intact.

    Args:
        name: File name, appended to each base URL and used in the folder.
        base_urls: Mirrors in order of preference, each ending in a slash.
        sha256: Checksum in hex.
        folder: Where to put it; made if absent.

    Returns:
        Path of the file.

    Raises:
        DataError: No mirror delivered it; the message tells what each one said.
    """
    failures = []
    for base_url in base_urls:
        try:
            return _fetch(base_url + name, name, sha256, folder)
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            failures.append(f"{base_url}{name}: {_reason(error)}")
    raise DataError(f"cannot download {name} (tried {'; '.join(failures)})")


def _fetch(url: str, name: str, sha256: str, folder: Path) -> Path:
    import pooch

    pooch.get_logger().setLevel("ERROR")  # the progress bar says it already

    def download(url: str, output: str, mover: object) -> None:
        bar = ProgressBar(name)
        try:
            http = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=TIMEOUT_S)
            http(url, output, mover)
        finally:
            bar.close()
        with Path(output).open("r+b") as file:
            os.fsync(file.fileno())

    known_hash = f"sha256:{sha256}"
    return Path(pooch.retrieve(url, known_hash, name, folder, downloader=download))


def _reason(error: Exception) -> str:
    """Return one line; for a failed connection the innermost reason, not urllib3's whole story."""
    inner = getattr(error.args[0], "reason", None) if error.args else None
    return " ".join(str(inner or error).split()) or type(error).__name__
