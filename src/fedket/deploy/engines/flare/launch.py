"""Processes of jobs, guarded like the process of the kit that starts them."""

from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_context import FLContext
from nvflare.app_common.job_launcher.server_process_launcher import ServerProcessJobLauncher

from fedket.deploy.engines.flare.latecomers import Doorkeeper

PARTY = "fedket.deploy.engines.flare.party"


def guarded(command: str) -> str:
    """Return FLARE's command for a job's process, run by `PARTY`."""
    return command.replace(" -m ", f" -m {PARTY} ", 1)


class ServerLauncher(ServerProcessJobLauncher):  # type: ignore[misc]
    """FLARE's launcher of a job's process at the server."""

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> str:
        """Return the command of a job's process."""
        return guarded(super().get_command(job_meta, fl_ctx))

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Look for sites that come late, once the server runs."""
        super().handle_event(event_type, fl_ctx)
        if event_type == EventType.SYSTEM_START:
            engine = fl_ctx.get_engine()
            Doorkeeper(engine, Path(engine.args.workspace)).start()
