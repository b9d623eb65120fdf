"""The terminal of a party's process: for what its operator must know, and nothing else."""

import sys
from contextlib import suppress


def at_terminal(news: str) -> None:
    """Say something there, if somebody is there: it may be closed, or a file on a full disk."""
    with suppress(OSError, ValueError):
        print(news, file=sys.stderr, flush=True)  # noqa: T201 - an operator reads it
