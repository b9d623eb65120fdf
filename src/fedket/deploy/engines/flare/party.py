"""A process of a startup kit, or of its job: FLARE's own, guarded, and ended by an interrupt.

Interrupted, FLARE would wait for the processes of its job; those are in process groups of their
own, so that Ctrl-C does not reach them, and end only once their parent is gone.

Run as `python -m fedket.deploy.engines.flare.party MODULE ARGUMENTS`.
"""

import os
import runpy
import signal
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from fedket.deploy.private import UMASK, held
from fedket.errors import ConfigError

SERVER = "nvflare.private.fed.app.server.server_train"
SITE = "nvflare.private.fed.app.client.client_train"
"""FLARE's modules of the processes of kits; others run jobs."""

OUTCOME_S = "NVFLARE_CLIENT_OUTCOME_WAIT_TIMEOUT", "1"
"""How long a server's FLARE waits to hear how a job ended at each site: 900 s by default, also for
sites that are dead. Our run is over when its last round is."""


def main() -> None:
    """Run a module of FLARE as the main program, if it can be guarded."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.setdefault(*OUTCOME_S)
    os.umask(UMASK)
    del sys.argv[0]
    with ExitStack() as stack:
        try:
            kit = Path(sys.argv[sys.argv.index("-m") + 1] if "-m" in sys.argv else "")
            _guard(kit)
            if sys.argv[0] in (SERVER, SITE):
                stack.enter_context(held(kit))
        except ConfigError as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(2)
        if sys.argv[0] == SERVER:
            from fedket.deploy.engines.flare.commands import register

            register()
        _end_at_once()
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end_at_once() -> None:
    """Take out the 3 s that FLARE sleeps in a process that is done, its connections closed."""
    from nvflare.fuel.f3.mpm import MainProcessMonitor

    MainProcessMonitor.run = partial(MainProcessMonitor.run, shutdown_grace_time=0)


def _guard(kit: Path) -> None:
    try:
        from fedket.deploy.engines.flare import transport
        from fedket.deploy.engines.flare.guard import install
        from fedket.deploy.identity.departed import MEMBERS, Departed
        from fedket.deploy.kit import own_files
    except ImportError as error:
        raise ConfigError(
            f"FLARE cannot be guarded: {error}; install it with: pip install 'fedket[flare]'"
        ) from None
    install(Departed(own_files(kit) / MEMBERS))
    transport.install()


if __name__ == "__main__":
    main()
