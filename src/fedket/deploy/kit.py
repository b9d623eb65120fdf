"""Where a startup kit keeps its operator's files; apart for processes that load nothing large."""

from pathlib import Path

FEDERATION, SITE = "federation.toml", "site.toml"
"""Names of the two files, in `own_files` of a startup kit."""

PERSON_FILE = "person.toml"
"""In place of them in the kit of a coordinator or an observer: names the engine."""

PROBLEM = "problem.txt"
"""Beside `federation.toml`: what the server found wrong for good, in one line."""

OWN_FILES = "local/fedket"
"""Folder of a startup kit with the files that its operator keeps."""


def own_files(kit: Path) -> Path:
    """Return the folder of a startup kit with the files that its operator keeps."""
    return kit / OWN_FILES
