"""Startup kits: in `startup` the party's certificate and key, the root, and `party.json`.

`party.json` says who the party is and where the server is reached.
"""

import json
from pathlib import Path
from typing import NamedTuple

from fedket.deploy.engines import Provisioning
from fedket.deploy.identity.authority import Credentials
from fedket.errors import ConfigError
from fedket.files import write_atomic

ROOT, CERTIFICATE, KEY, PARTY = "root.pem", "party.crt", "party.key", "party.json"

PURPOSE = "purpose.txt"
"""In the folder of a job: what it is for."""


class Kit(NamedTuple):
    """A startup kit as its process reads it.

    Attributes:
        folder: Its `startup`.
        name: Of the party.
        role: What it is, see `fedket.deploy.identity.authority.ROLES`.
        hosts: Where the server is reached.
        port: On which port.
    """

    folder: Path
    name: str
    role: str
    hosts: tuple[str, ...]
    port: int

    def address(self, attempt: int = 0) -> str:
        """Return the server's in a URL; another one for each attempt, if there are several."""
        host = self.hosts[attempt % len(self.hosts)]
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def read_kit(kit: Path) -> Kit:
    """Read a startup kit.

    Raises:
        ConfigError: It is none of Flower's.
    """
    folder = kit / "startup"
    try:
        said = json.loads((folder / PARTY).read_text(encoding="utf-8"))
        return Kit(folder, said["name"], said["role"], tuple(said["hosts"]), said["port"])
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{kit} is not a startup kit for Flower: {error}") from None


def write_kit(wanted: Provisioning, credentials: Credentials, kit: Path) -> None:
    """Make a party's startup kit.

    Args:
        wanted: The federation.
        credentials: The party's.
        kit: A new folder.
    """
    folder = kit / "startup"
    kit.mkdir(parents=True, mode=0o700)
    folder.mkdir(mode=0o700)
    said = {
        "name": credentials.name,
        "role": credentials.role,
        "hosts": wanted.hosts,
        "port": wanted.port,
    }
    write_atomic(folder / PARTY, json.dumps(said, indent=2) + "\n")
    write_atomic(folder / ROOT, credentials.root)
    write_atomic(folder / CERTIFICATE, credentials.certificate)
    write_atomic(folder / KEY, credentials.key)


def write_certificate(kit: Path, certificate: bytes, root: bytes) -> None:
    """Put a certificate for a kit's key into it, and the root's; processes read it as they start.

    Raises:
        OSError: It cannot be written.
    """
    for name, content in ((CERTIFICATE, certificate), (ROOT, root)):
        if (kit / "startup" / name).read_bytes() != content:
            write_atomic(kit / "startup" / name, content)


def write_job(wanted: Provisioning, folder: Path) -> None:
    """Make the folder that a coordinator has; all that it says is what it is for."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / PURPOSE, wanted.purpose)
