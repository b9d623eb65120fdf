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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedket.deploy.engines.flare.job import (
    LAUNCHER_CLASS,
    SERVER_CLASSES,
    SERVER_LAUNCHER_CLASS,
    SITE_CLASSES,
)
from fedket.errors import ConfigError
from fedket.files import write_atomic

ADMIN = "admin@fedket.local"
ORGANISATION = "fedket"
SERVER = "server"

STREAMERS = ("site_log_streamer", "error_log_streamer", "log_receiver")
"""Components of FLARE that carry logs."""

TALKATIVE = ("nvflare.collab.runtime.cell_dispatcher", "httpx")
"""Loggers with a line or more per message: 5 kB a round at the server, around what matters."""

RIGHTS = {
    "submit_job": "any",
    "manage_job": "any",
    "view": "any",
    "clone_job": "none",
    "download_job": "none",
    "operate": "none",
    "shell_commands": "none",
    "byoc": "none",
    "server-predeployed-flwr": "none",
}
"""What an administrator may do at a party: by default FLARE lets one bring code (`byoc`), which may
take the place of ours under its name, read files in the kit, and stop the site."""

COMMUNICATION = {
    "internal": {
        "scheme": "tcp",
        "resources": {"host": "localhost", "connection_security": "mtls"},
    }
}
"""How a kit's process and those of its jobs reach each other: by default through a port that serves
every user of the machine."""
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


def project(name: str, host: str, port: int, sites: Sequence[str]) -> dict[str, Any]:
    """Return the FLARE project of a federation, as `project.yml` holds it."""
    clients = [{"name": site, "type": "client", "org": ORGANISATION} for site in sites]
    server = {"name": host, "type": "server", "org": ORGANISATION, "fed_learn_port": port}
    admin = {"name": ADMIN, "type": "admin", "org": ORGANISATION, "role": "project_admin"}
    builders = "nvflare.lighter.impl"
    return {
        "api_version": 3,
        "name": name,
        "description": "A federation of fedket",
        "participants": [server, *clients, admin],
        "builders": [
            {
                "path": f"{builders}.workspace.WorkspaceBuilder",
                "args": {"template_file": ["master_template.yml"]},
            },
            {
                "path": f"{builders}.static_file.StaticFileBuilder",
                "args": {"config_folder": "config"},
            },
            {"path": f"{builders}.cert.CertBuilder"},
            {"path": f"{builders}.signature.SignatureBuilder"},
        ],
    }


def provision(content: dict[str, Any], directory: Path) -> dict[str, Path]:
    """Make the startup kits of a project with FLARE; returns party -> kit.

    Args:
        content: From `project`.
        directory: Gets `project.yml`, FLARE's own state, and one kit per party below `kits`.

    Raises:
        ConfigError: FLARE is not installed, or refuses the project.
    """
    try:
        import yaml
        from nvflare.lighter.provision import prepare_builders, prepare_project
        from nvflare.lighter.provisioner import Provisioner
    except ModuleNotFoundError as error:
        raise missing_flare(error) from None
    (directory / "project.yml").write_text(yaml.safe_dump(content, sort_keys=False))
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            made = prepare_project(json.loads(json.dumps(content)))
            builders = prepare_builders(json.loads(json.dumps(content)))
            Provisioner(str(directory / "provisioning"), builders).provision(made)
        except Exception as error:
            raise ConfigError(f"FLARE refuses the project: {error} {said.getvalue()}") from None
    for path in (directory / "provisioning").rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    source = directory / "provisioning" / content["name"] / "prod_00"
    names = {p["name"]: p["type"] for p in content["participants"]}
    kits: dict[str, Path] = {}
    for name, kind in names.items():
        party = {"server": SERVER, "admin": "admin"}.get(kind, name)
        kits[party] = directory / "kits" / party
        shutil.copytree(source / name, kits[party])
        kits[party].chmod(0o700)
        _restrict(kits[party])
        (kits[party] / "transfer").mkdir(exist_ok=True)
    return kits


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
    rights = {"format_version": "1.0", "permissions": {"project_admin": RIGHTS}}
    _write(kit / "local" / "authorization.json", rights)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _quieten(local: Path) -> None:
    """Leave news, warnings and errors in the logs, and no line for every message."""
    content = json.loads((local / "log_config.json.default").read_text(encoding="utf-8"))
    content["loggers"] |= {name: {"level": "WARNING"} for name in TALKATIVE}
    (local / "log_config.json").write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
