"""From `fedket …` to an exit code."""

import os
import signal
import sys

from fedket.cli.app import app
from fedket.cli.failures import INTERRUPTED, UsageError, fail, one_line, tell
from fedket.cli.outlets import open_outlets
from fedket.errors import OUT_OF_MEMORY, FedketError
from fedket.experiment.interrupts import SIGNALS, handled_interrupts


def main() -> None:
    """Entry point: run the command line and exit."""
    open_outlets()
    code = execute()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.stdout.flush()
    if code == INTERRUPTED or _has_others():
        os._exit(code)  # a round that was given up may still be computing, or wait for others
    sys.exit(code)


def execute() -> int:
    """Run the app; turn errors of the input into one line and exit code 2."""
    try:
        with handled_interrupts():
            code = int(app(standalone_mode=False) or 0)
            sys.stdout.flush()
    except (FedketError, UsageError, OSError, MemoryError) as error:
        return tell(error)
    except Exception as error:
        if OUT_OF_MEMORY in str(error):
            return fail(f"error: out of memory: {one_line(error)}")
        if (known := _of_a_user(error)) is not None:
            return tell(known)
        raise
    return code


def _of_a_user(error: Exception) -> FedketError | None:
    """What came up in a kind of the user's own, as one line that names it."""
    users = sys.modules.get("fedket.user_code")
    found: FedketError | None = None if users is None else users.in_user_code(error)
    return found


def _has_others() -> bool:
    """Whether this process is still connected to the others of a run."""
    jax = sys.modules.get("jax")
    return jax is not None and bool(jax.distributed.is_initialized())
