"""NVIDIA FLARE as `fedket.deploy` sees it."""

import json
import sys
from pathlib import Path
from typing import Literal

from fedket.deploy.engines import DeploymentEngine
from fedket.deploy.engines.flare.admin import looking, publish, run_job, stop_job
from fedket.deploy.engines.flare.job import write_job
from fedket.deploy.engines.flare.kits import (
    COMMUNICATION_FILE,
    settle,
    write_certificate,
    write_kit,
)
from fedket.deploy.engines.flare.party import SERVER, SITE
from fedket.deploy.engines.kind import SitesConfig
from fedket.errors import ConfigError


def party_command(kit: Path) -> list[str]:
    """Return the command that runs a kit's FLARE process.

    Raises:
        ConfigError: It is not a kit of a server or a site, or one with ports open to all users.
    """
    kit = kit.resolve()
    server, client = kit / "startup" / "fed_server.json", kit / "startup" / "fed_client.json"
    common = ["-m", str(kit), "--set", "secure_train=true", "org=fedket", "config_folder=config"]
    start = [sys.executable, "-u", "-m", "fedket.deploy.engines.flare.party"]
    if not server.is_file() and not client.is_file():
        raise ConfigError(f"{kit} is not a startup kit of a server or a site")
    if not (kit / "local" / COMMUNICATION_FILE).is_file():
        raise ConfigError(
            f"{kit} has no local/{COMMUNICATION_FILE}, so that its job's port would be open to all "
            "users of this machine; put it back, or make new kits with `fedket deploy init`"
        )
    if server.is_file():
        return [*start, SERVER, "-s", server.name, *common]
    name = json.loads(client.read_text(encoding="utf-8"))["client"]["fqsn"]
    return [*start, SITE, "-s", client.name, *common, f"uid={name}"]


def server_of(kit: Path) -> str:
    """Return HOST:PORT where a site's kit looks for its server; nothing for other kits."""
    path = kit / "startup" / "fed_client.json"
    if not path.is_file():
        return ""
    (server,) = json.loads(path.read_text(encoding="utf-8"))["servers"]
    return str(server["service"]["target"])


class FlareConfig(SitesConfig):
    """NVIDIA FLARE: every site a process of its own, with its data, certificates and keys."""

    kind: Literal["flare"] = "flare"

    def deployment(self) -> DeploymentEngine:
        """FLARE as a deployment needs it."""
        return DeploymentEngine(
            "NVIDIA FLARE",
            "flare",
            write_kit,
            write_certificate,
            write_job,
            settle,
            party_command,
            run_job,
            looking,
            stop_job,
            server_of,
            publish,
        )
