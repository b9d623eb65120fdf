"""Command lines as documents and files hold them: are they ones that our command line takes?"""

import shlex

import typer

from fedket.cli.app import app
from fedket.cli.failures import UsageError


def check(line: str) -> None:
    """Parse `fedket …`, in the background or not, as the command line would, and run nothing.

    Raises:
        UsageError: There is no such command, option, or number of arguments.
    """
    program, *words = shlex.split(line.rstrip().removesuffix("&"), comments=True)
    assert program == "fedket", line
    command = typer.main.get_command(app)
    context = command.make_context("fedket", [], resilient_parsing=True)
    while hasattr(command, "resolve_command"):
        asked = words
        name, command, words = command.resolve_command(context, words)
        if command is None:
            raise UsageError(f"no command `{asked[0]}` in: {line}")
        resilient = hasattr(command, "resolve_command")
        context = command.make_context(
            name, [] if resilient else words, parent=context, resilient_parsing=resilient
        )
