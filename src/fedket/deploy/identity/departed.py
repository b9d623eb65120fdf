"""Who has left, by the list in a kit as it is now, for processes that import nothing large.

The list was checked when it was put there; here it is only read.
"""

import json
from pathlib import Path

MEMBERS = "members.json"
"""Name of the list of members, in a party's own files and with the coordinator's root."""


class Departed:
    """Names of those who have left.

    Args:
        path: The list.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._seen, self._names = path, 0, frozenset[str]()

    def __call__(self) -> frozenset[str]:
        """Return the names; the list is read when it is another file than before."""
        try:
            written = self._path.stat().st_mtime_ns
            if written != self._seen:
                members = json.loads(self._path.read_bytes())["signed"]["members"]
                self._names = frozenset(m["name"] for m in members if m["left"])
                self._seen = written
        except (OSError, ValueError, KeyError, TypeError):  # those known before stay out
            pass
        return self._names
