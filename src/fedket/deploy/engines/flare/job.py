"""The FLARE job of a federation: three small files that name our classes, and no code.

Sites run the fedket that their operators installed; a job that brought code of its own would be
refused by their kits, see `fedket.deploy.engines.flare.kits`.
"""

import json
from pathlib import Path

from fedket.deploy.engines import Provisioning

SERVER_CLASS = "fedket.deploy.engines.flare.server_app.FederationServer"
SITE_CLASS = "fedket.deploy.engines.flare.site_app.FederationSite"
EXECUTOR_CLASS = "fedket.deploy.engines.flare.rejoin.SiteExecutor"
LAUNCHER_CLASS = "fedket.deploy.engines.flare.rejoin.SiteLauncher"
SERVER_LAUNCHER_CLASS = "fedket.deploy.engines.flare.launch.ServerLauncher"
CONTROLLER_CLASS = "fedket.deploy.engines.flare.controller.FederationController"

SITE_CLASSES = (SITE_CLASS, EXECUTOR_CLASS, LAUNCHER_CLASS)
SERVER_CLASSES = (SERVER_CLASS, CONTROLLER_CLASS, SERVER_LAUNCHER_CLASS)
"""All that a kit or a job may name at a site, and at the server."""

THREADS = 8
"""Calls that a site serves, or makes, at the same time; FLARE's 100 threads cost memory."""


def write_job(wanted: Provisioning, folder: Path) -> None:
    """Write the job of a federation.

    Args:
        wanted: Its name is of letters, digits, dots, underscores and hyphens.
        folder: What is handed in.
    """
    (folder / "app" / "config").mkdir(parents=True, exist_ok=True)
    server = {
        "format_version": 2,
        "workflows": [
            {
                "id": "controller",
                "path": CONTROLLER_CLASS,
                "args": {"server_obj_id": "_server", "collab_obj_ids": []},
            }
        ],
        "components": [
            {"id": "_server", "path": SERVER_CLASS, "args": {"purpose": wanted.purpose}}
        ],
    }
    site = {
        "format_version": 2,
        "executors": [
            {
                "tasks": ["*"],
                "executor": {
                    "path": EXECUTOR_CLASS,
                    "args": {
                        "client_obj_id": "_client",
                        "collab_obj_ids": [],
                        "max_inbound_call_threads": THREADS,
                        "max_outbound_call_threads": THREADS,
                    },
                },
            }
        ],
        "components": [{"id": "_client", "path": SITE_CLASS, "args": {}}],
    }
    meta = {
        "name": wanted.name,
        "resource_spec": {},
        "min_clients": 2,
        "deploy_map": {"app": ["@ALL"]},
    }
    files = {
        "meta.json": meta,
        "app/config/config_fed_server.json": server,
        "app/config/config_fed_client.json": site,
    }
    for path, content in files.items():
        (folder / path).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
