"""systemd units of a party: a user of its own, rights to its own kit, and nothing else.

The hardening is what `systemd-analyze security` asks for, but for memory that is both written and
executed: compiled circuits are made while the process runs.
"""

import sys
from pathlib import Path
from typing import NamedTuple

from fedket.deploy.files import (
    FEDERATION,
    OWN_FILES,
    SITE,
    FederationFile,
    SiteFile,
    own_files,
)
from fedket.errors import ConfigError
from fedket.schema import read_table

HOMES = ("/home", "/root", "/run/user")

SERVICE = """\
# Written by `fedket deploy units`; install: see the end of this file.
[Unit]
Description=fedket: {title}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
User={user}
WorkingDirectory={kit}
ExecStart={command}
Environment=PYTHONUNBUFFERED=1 HOME={kit}
{restart}
UMask=0077
{paths}
{network}
AmbientCapabilities=
CapabilityBoundingSet=
KeyringMode=private
LockPersonality=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
PrivateUsers=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged

[Install]
WantedBy=multi-user.target

# adduser --system --group {user}; chown -R {user}: {kit}
# cp {name}.service /etc/systemd/system/; systemctl enable --now {name}
# To compute on a GPU, take PrivateDevices away.
"""

PARTY = """\
Restart=on-failure
RestartSec=10
RestartPreventExitStatus=2
KillMode=mixed
TimeoutStopSec=30"""
"""Exit code 2 is bad input, which another start does not mend. Told to end, the kit's own process
goes first, and those of its jobs follow."""

WATCH = """\
Restart=always
RestartSec=10"""


class Party(NamedTuple):
    """Whose kit it is, and where its files are.

    Attributes:
        name: Of the site, or `server`.
        port: On which sites reach the server; 0 at a site.
        written: Folders outside the kit that it writes.
        read: What it reads outside the kit.
    """

    name: str
    port: int
    written: tuple[Path, ...]
    read: tuple[Path, ...]


def party_of(kit: Path) -> Party:
    """Return whose kit it is.

    Raises:
        ConfigError: It is nobody's, or its file has a mistake.
    """
    folder = own_files(kit)
    if (folder / SITE).exists():
        site = read_table(folder / SITE, SiteFile)
        return Party(site.name, 0, _outside(kit, site.store), _outside(kit, site.data))
    if (folder / FEDERATION).exists():
        server = read_table(folder / FEDERATION, FederationFile)
        return Party("server", server.port, _outside(kit, server.store, server.run.parent), ())
    raise ConfigError(
        f"{kit} is not a startup kit of a server or a site: {OWN_FILES} in it has neither "
        f"{FEDERATION} nor {SITE}"
    )


def units_of(kit: Path, user: str, port: int) -> dict[str, str]:
    """Return the units of a party: file name -> content.

    Args:
        kit: Its startup kit.
        user: Of the operating system, who owns it.
        port: Of the page and the metrics, on loopback.

    Raises:
        ConfigError: It is nobody's kit, or a path has characters that units do not take.
    """
    kit, party = kit.resolve(), party_of(kit)
    for path in (kit, *party.written, *party.read, Path(sys.executable)):
        if not str(path).isprintable() or any(c in str(path) for c in " %$\"'\\;#"):
            raise ConfigError(f"{path} cannot stand in a systemd unit; move it to a plainer path")
    name, own = f"fedket-{party.name}", f"{sys.executable} -m fedket deploy"
    written = " ".join(map(str, (kit, *party.written)))
    used = (*party.written, *party.read, *map(Path, (sys.executable, sys.base_prefix, __file__)))
    home = "read-only" if _in_homes(kit, *used) else "yes"
    common = {"user": user, "kit": kit}
    return {
        f"{name}.service": SERVICE.format(
            **common,
            name=name,
            title=party.name,
            command=f"{own} start {kit}",
            restart=PARTY,
            paths=f"ProtectHome={home}\nReadWritePaths={written}",
            network="RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        ),
        f"{name}-watch.service": SERVICE.format(
            **common,
            name=f"{name}-watch",
            title=f"{party.name}, page and metrics on port {port} of loopback",
            command=f"{own} watch {kit} --port {port}",
            restart=WATCH,
            paths=f"ProtectHome={home}\nReadOnlyPaths={kit}",
            network="RestrictAddressFamilies=AF_INET AF_INET6\nIPAddressAllow=localhost\n"
            "IPAddressDeny=any",
        ),
    }


def _outside(kit: Path, *paths: Path) -> tuple[Path, ...]:
    """Those that do not lie in the kit."""
    found = (path.resolve() for path in paths)
    return tuple(path for path in found if not path.is_relative_to(kit.resolve()))


def _in_homes(*paths: Path) -> bool:
    return any(path.is_relative_to(home) for path in paths for home in HOMES)
