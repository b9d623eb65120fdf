"""Startup kits: FLARE's provisioning, and what a site's kit then allows.

A kit made here runs our classes and nothing else: no code from a job, no other component; no log
leaves the site (FLARE would stream its logs to the server), and no administrator looks in. Its
process and those of its jobs show each other their certificates.
"""

import contextlib
import io
import json
import re
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from fedket.deploy.engines import Provisioning
from fedket.deploy.engines.flare.job import (
    LAUNCHER_CLASS,
    SERVER_CLASSES,
    SERVER_LAUNCHER_CLASS,
    SITE_CLASSES,
)
from fedket.deploy.identity.authority import (
    COORDINATOR,
    OBSERVER,
    ORGANISATION,
    SERVER,
    SITE,
    Credentials,
)
from fedket.errors import ConfigError
from fedket.files import write_atomic

PERSONS = "fed_admin.json"
LOOPBACK = ("localhost", "127.0.0.1")
IMPLEMENTATION = "nvflare.lighter.impl"
BUILDERS = [
    {
        "path": f"{IMPLEMENTATION}.workspace.WorkspaceBuilder",
        "args": {"template_file": ["master_template.yml"]},
    },
    {
        "path": f"{IMPLEMENTATION}.static_file.StaticFileBuilder",
        "args": {"config_folder": "config", "scheme": "tcp"},
    },
]
"""Parts of FLARE's provisioning that are used; certificates are `fedket.deploy.identity`'s."""

STREAMERS = ("site_log_streamer", "error_log_streamer", "log_receiver")
"""Components of FLARE that carry logs."""

TALKATIVE = {
    "nvflare.collab.runtime.cell_dispatcher": "WARNING",
    "nvflare.fuel.f3.streaming.byte_streamer": "ERROR",
    "httpx": "WARNING",
}
"""Loggers with lines for every message: 5 kB a round at the server, and two warnings a second at a
site that was started again; and from which level on they are kept."""

CONSOLE = "consoleHandler"
"""What FLARE logs is in `log.txt`; the terminal is for what an operator must know."""

NOTHING = dict.fromkeys(
    (
        "submit_job",
        "manage_job",
        "view",
        "clone_job",
        "download_job",
        "operate",
        "shell_commands",
        "byoc",
        "server-predeployed-flwr",
    ),
    "none",
)
RIGHTS = {
    COORDINATOR: NOTHING | {"submit_job": "any", "manage_job": "any", "view": "any"},
    OBSERVER: NOTHING | {"view": "any"},
}
"""Role -> what such a person may do at a party: by default FLARE lets some bring code (`byoc`),
which may take the place of ours under its name, read files in the kit, and stop the site."""

CHUNK, WINDOW = 2**18, 2**20

COMMUNICATION = {
    "internal": {
        "scheme": "tcp",
        "resources": {"host": "localhost", "connection_security": "mtls"},
    },
    "streaming_chunk_size": CHUNK,
    "streaming_window_size": WINDOW,
    "streaming_ack_interval": WINDOW // 2,
    "streaming_retry_wait": 15.0,
    "streaming_retry_timeout": 120.0,
}
"""How a kit's process and those of its jobs reach each other: by default through a port that serves
every user of the machine. And how large messages travel: by default 64 MiB of one may be under way,
each MiB sent again every 5 s until 16 MiB have arrived, so that a link of 5 Mbit/s chokes, and no
heartbeat passes. A MiB is under way at most now: 1.7 s at 5 Mbit/s."""
COMMUNICATION_FILE = "comm_config.json"

START = """#!/usr/bin/env bash
# FLARE's own script would start this party without its guard.
exec fedket deploy start "$(dirname "$(dirname "$(realpath "${BASH_SOURCE[0]}")")")"
"""
UNGUARDED = ("sub_start.sh", "stop_fl.sh")
"""Scripts of FLARE around a process that it starts itself."""

RESOURCES, STATE = "resources.json", "state"
PLACES = rf'"/(?:[^"]*/)?{STATE}/((?:jobs|snapshot)-storage)"'
"""Where a server's resources say that FLARE keeps jobs."""


def write_kit(wanted: Provisioning, credentials: Credentials, kit: Path) -> None:
    """Make a party's startup kit of FLARE's templates.

    Args:
        wanted: The federation.
        credentials: The party's.
        kit: A new folder.

    Raises:
        ConfigError: FLARE is not installed, or refuses the names.
    """
    for host in wanted.hosts:
        if ":" in host:
            raise ConfigError(
                f"FLARE reaches a server by a name or an IPv4 address, not by `{host}`; give a "
                "host name that leads there"
            )
    made = _made_by_flare(wanted, credentials)
    try:
        (made / "transfer").mkdir(exist_ok=True)
        own = "server" if credentials.role == SERVER else "client"
        (made / "startup" / f"{own}.key").write_bytes(credentials.key)
        (made / "startup" / f"{own}.crt").touch()
        write_certificate(made, credentials.certificate, credentials.root)
        _address(made / "startup", wanted)
        shutil.move(made, kit)
    finally:
        shutil.rmtree(made.parents[2], ignore_errors=True)
    _restrict(kit)


def write_certificate(kit: Path, certificate: bytes, root: bytes) -> None:
    """Put a certificate for a kit's key into it, and the root's; processes read it as they start.

    Raises:
        OSError: It cannot be written.
    """
    own = next(path for path in (kit / "startup").glob("*.crt"))
    for path, content in ((own, certificate), (kit / "startup" / "rootCA.pem", root)):
        if not path.exists() or path.read_bytes() != content:
            write_atomic(path, content)


def _made_by_flare(wanted: Provisioning, credentials: Credentials) -> Path:
    """Have FLARE fill in its templates, in a temporary folder three levels up; returns the kit."""
    try:
        from nvflare.lighter.provision import prepare_builders, prepare_project
        from nvflare.lighter.provisioner import Provisioner
    except ModuleNotFoundError as error:
        raise missing_flare(error) from None
    # FLARE limits hosts to 63 characters and knows no underscores there: `_address` writes them.
    server: dict[str, Any] = {"name": SERVER, "type": "server", "fed_learn_port": wanted.port}
    kind = {SERVER: "server", SITE: "client"}.get(credentials.role, "admin")
    party = {"name": credentials.name, "type": kind, "role": credentials.role}
    parties = [server] if kind == "server" else [server, party]
    content = {
        "api_version": 3,
        "name": wanted.name,
        "description": "A federation of fedket",
        "participants": [{**party, "org": ORGANISATION} for party in parties],
        "builders": BUILDERS,
    }
    place = Path(mkdtemp(prefix="fedket-"))
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            made, builders = (
                prepare(json.loads(json.dumps(content)))
                for prepare in (prepare_project, prepare_builders)
            )
            Provisioner(str(place), builders).provision(made)
        except Exception as error:
            shutil.rmtree(place)
            raise ConfigError(f"FLARE refuses the project: {error} {said.getvalue()}") from None
    return place / wanted.name / "prod_00" / credentials.name


def _address(startup: Path, wanted: Provisioning) -> None:
    """Say where the server is reached, and listens: on all addresses unless only here."""
    host = wanted.hosts[0]
    for path in startup.glob("fed_*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if admin := content.get("admin"):
            admin["host"] = host
        else:
            elsewhere = [name for name in wanted.hosts if name not in LOOPBACK]
            listens = (elsewhere or [host])[0] if path.name == "fed_server.json" else host
            content["servers"][0]["service"]["target"] = f"{listens}:{wanted.port}"
        _write(path, content)


def settle(kit: Path) -> None:
    """Have a server's kit keep FLARE's state inside itself, wherever it was copied to.

    FLARE takes absolute paths only, and those of the machine that made the kit mean nothing here.
    """
    resources = kit / "local" / RESOURCES
    if not resources.is_file():
        return
    text = resources.read_text(encoding="utf-8")
    state = json.dumps(str(kit.resolve() / STATE))[:-1]
    here = re.sub(PLACES, lambda found: f'{state}/{found[1]}"', text)
    if here != text:
        write_atomic(resources, here)


def person(kit: Path) -> str:
    """Return whose a coordinator's or an observer's kit is."""
    content = json.loads((kit / "startup" / PERSONS).read_text(encoding="utf-8"))
    return str(content["admin"]["username"])


def missing_flare(error: ModuleNotFoundError) -> ConfigError:
    """Return the error of somebody who has not installed FLARE."""
    return ConfigError(
        f"the package `{error.name}` is missing; install FLARE with: pip install 'fedket[flare]'"
    )


def _restrict(kit: Path) -> None:
    """Write the resources that a kit uses, in the place of FLARE's defaults."""
    default = kit / "local" / "resources.json.default"
    content = json.loads(default.read_text(encoding="utf-8"))
    if "class_allow_list" not in content:
        return
    is_server = "servers" in content
    content["class_allow_list"] = list(SERVER_CLASSES if is_server else SITE_CLASSES)
    content["allow_log_streaming"] = False
    components = [c for c in content["components"] if c["id"] not in STREAMERS]
    for component in components:
        if component["id"] == "process_launcher":
            component["path"] = SERVER_LAUNCHER_CLASS if is_server else LAUNCHER_CLASS
    content["components"] = components
    text = json.dumps(content, indent=2).replace("/tmp/nvflare", f"/{STATE}")  # noqa: S108
    (kit / "local" / RESOURCES).write_text(text + "\n", encoding="utf-8")
    settle(kit)
    _quieten(kit / "local")
    _write(kit / "local" / COMMUNICATION_FILE, COMMUNICATION)
    (kit / "startup" / "start.sh").write_text(START)
    for script in UNGUARDED:
        (kit / "startup" / script).unlink()
    rights = {"format_version": "1.0", "permissions": RIGHTS}
    _write(kit / "local" / "authorization.json", rights)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _quieten(local: Path) -> None:
    """Leave news, warnings and errors in the logs, no line for every message, no terminal."""
    content = json.loads((local / "log_config.json.default").read_text(encoding="utf-8"))
    content["loggers"] |= {name: {"level": level} for name, level in TALKATIVE.items()}
    content["loggers"]["root"]["handlers"].remove(CONSOLE)
    (local / "log_config.json").write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
