"""The command line, one module per group of commands.

Heavy imports happen inside commands, so that help is instant. Exit codes: 0 done, 1 done in part
(the output says what is missing), 2 bad input (one line on standard error), 130 interrupted, with
everything saved.
"""

from fedket.cli.entry import execute, main

__all__ = ["execute", "main"]
