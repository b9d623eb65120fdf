"""The process of a startup kit: FLARE's own, except that an interrupt ends it.

Interrupted, FLARE would wait for the processes of its job; those are in process groups of their
own, so that Ctrl-C does not reach them, and end only once their parent is gone.

Run as `python -m fedket.deploy.engines.flare.party MODULE ARGUMENTS`.
"""

import runpy
import signal
import sys


def main() -> None:
    """Run a module of FLARE as the main program."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
