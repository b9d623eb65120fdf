"""The process of a startup kit: `python -m fedket.deploy.engines.flower.party KIT`."""

import logging
import os
import signal
import sys
from pathlib import Path

from fedket.deploy.engines.flower.kits import read_kit
from fedket.deploy.identity.authority import SERVER
from fedket.deploy.private import UMASK, held
from fedket.errors import ConfigError

VERSION = "1.41."
"""Of Flower, whose inside this room knows."""


def main(folder: Path) -> None:
    """Run a party until it is interrupted.

    Raises:
        ConfigError: Another Flower is installed, or it is no kit.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.umask(UMASK)
    os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
    kit = read_kit(folder)
    import flwr

    if not flwr.__version__.startswith(VERSION):
        raise ConfigError(
            f"this is Flower {flwr.__version__}, not {VERSION}x; install it with: "
            "pip install 'fedket[flower]'"
        )
    for name in ("flwr", "httpx"):  # a line or more for every message
        logging.getLogger(name).setLevel(logging.WARNING)
    with held(folder):
        if kit.role == SERVER:
            from fedket.deploy.engines.flower.server_party import serve

            serve(kit, folder)
        else:
            from fedket.deploy.engines.flower.site_party import take_part

            take_part(kit, folder)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
