"""The program `fedket`, also as `python -m fedket`."""

import os
import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit."""
    signal.signal(signal.SIGINT, _leave)  # until the commands, once imported, do it better
    from fedket.cli import main as run_command_line

    run_command_line()


def _leave(_number: int, _frame: object) -> None:
    sys.stderr.write("fedket: interrupted before anything was written\n")
    sys.stderr.flush()
    os._exit(130)


if __name__ == "__main__":
    main()
