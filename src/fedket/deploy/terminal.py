"""The terminal of a party's process: for what its operator must know, and nothing else."""

import sys


def at_terminal(news: str) -> None:
    """Say something there."""
    print(news, file=sys.stderr, flush=True)  # noqa: T201 - an operator reads it
