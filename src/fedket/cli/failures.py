"""Exit codes, and the one line on standard error that says what was wrong."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import typer

from fedket.errors import printable

INCOMPLETE, BAD_INPUT, INTERRUPTED = 1, 2, 130
"""Exit codes beside 0."""

LONGEST = 4000
"""Characters of a line; names and values in it come from files."""

UsageError = cast(type[typer.BadParameter], typer.BadParameter.__bases__[0])
"""What Typer raises for a command line it cannot read: Click's class, or since 0.26 its own."""


def tell(error: Exception, who: str = "") -> int:
    """Say in one line what was wrong with the input; return the exit code."""
    return fail(f"{who}error: {one_line(error)}")


def fail(message: str, code: int = BAD_INPUT) -> int:
    """Say why the command ends; return the exit code."""
    sys.stderr.write(f"fedket: {message}\n")
    return code


def one_line(error: Exception) -> str:
    """What an error says, without line breaks and what would steer a terminal, not endless."""
    message = str(error)
    if isinstance(error, UsageError):
        # Click and Typer both append the nearest command.
        message = re.sub(r"( Did you mean [^?]*\?)\1+", r"\1", error.format_message())
    elif isinstance(error, OSError) and error.filename:
        message = f"{error.strerror or error}: {error.filename}"
    line = printable(" ".join(message.split()))
    return f"{line[:LONGEST]}…" if len(line) > LONGEST else line or type(error).__name__


@contextmanager
def stopping_early() -> Iterator[None]:
    """Say that an interrupt came before there was anything to save (Typer would leave silently)."""
    try:
        yield
    except KeyboardInterrupt:
        code = fail("interrupted before anything was written", INTERRUPTED)
        raise typer.Exit(code) from None
