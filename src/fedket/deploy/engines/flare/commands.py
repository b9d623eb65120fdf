"""Our own commands at FLARE's server: look at a run, stop it for good, take a list of members.

They are added to FLARE's own, and judged by the rights in the server's kit: who may view may look,
who may manage jobs may stop it, and give it a list, which it takes by the root key's signature
alone. Nothing else is to be had through them: no file but the three that `read_look` reads, no
argument but the list, no other process.
"""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

from nvflare.fuel.hci.proto import MetaStatusValue, make_meta
from nvflare.fuel.hci.reg import CommandModule, CommandModuleSpec, CommandSpec
from nvflare.fuel.hci.server.authz import PreAuthzReturnCode
from nvflare.fuel.hci.server.constants import ConnProps
from nvflare.private.fed.server.server_cmd_modules import ServerCommandModules
from nvflare.security.security import COMMAND_CATEGORIES, CommandCategory

from fedket.deploy.engines.flare.admin import LOOK, STOP, TAKE
from fedket.deploy.identity.departed import MEMBERS, Departed
from fedket.deploy.kit import own_files
from fedket.deploy.operating.news import now
from fedket.deploy.operating.state import STOPPED, read_look
from fedket.errors import FedketError
from fedket.files import write_atomic

JOBS = CommandCategory.MANAGE_JOB
RIGHTS = {LOOK: CommandCategory.VIEW, STOP: JOBS, TAKE: JOBS}


def register() -> None:
    """Add the commands to the server that this process is about to start."""
    COMMAND_CATEGORIES.update(RIGHTS)
    ServerCommandModules.register_cmd_module(OperatingCommands())


class OperatingCommands(CommandModule):  # type: ignore[misc]
    """What a server answers administrators beside FLARE's own commands."""

    def get_spec(self) -> CommandModuleSpec:
        """Return the commands."""
        commands = {
            LOOK: ("how the run is doing", self.look),
            TAKE: ("keep a newer list of members", self.take),
            STOP: ("end the run until it is handed in again", self.stop),
        }
        return CommandModuleSpec(
            name="fedket",
            cmd_specs=[
                CommandSpec(
                    name=name,
                    description=description,
                    usage=name,
                    handler_func=handler,
                    authz_func=_by_rights,
                )
                for name, (description, handler) in commands.items()
            ],
        )

    def look(self, conn: Any, _: list[str]) -> None:
        """Answer with what the server's files say of the run."""
        look = read_look(_files(conn))
        conn.append_dict(look.model_dump(mode="json"), meta=make_meta(MetaStatusValue.OK))

    def take(self, conn: Any, args: list[str]) -> None:
        """Keep a newer list of members, and let go of those who have left."""
        from fedket.deploy.identity.kits import keep_list
        from fedket.deploy.identity.members import LONGEST

        server, refused = conn.app_ctx.server, ""
        try:
            text = zlib.decompressobj().decompress(base64.b64decode(args[1]), LONGEST).decode()
            keep_list(_files(conn), text)
            for name in Departed(_files(conn) / MEMBERS)():
                server.client_manager.disable_client(name)
        except (FedketError, ValueError, IndexError, zlib.error) as error:
            refused = f"{error}"
        conn.append_dict({"refused": refused}, meta=make_meta(MetaStatusValue.OK))

    def stop(self, conn: Any, _: list[str]) -> None:
        """End the running job, and note who did, so that nobody hands it in again by itself."""
        jobs = list(conn.app_ctx.run_processes)
        for job in jobs:
            said = {"job": job, "by": conn.get_prop(ConnProps.USER_NAME), "when": now()}
            write_atomic(_files(conn) / STOPPED, json.dumps(said) + "\n")
            with conn.app_ctx.new_context() as context:
                conn.app_ctx.job_runner.stop_run(job, context)
        conn.append_dict({"jobs": jobs}, meta=make_meta(MetaStatusValue.OK))


def _by_rights(_: Any, __: list[str]) -> PreAuthzReturnCode:
    return PreAuthzReturnCode.REQUIRE_AUTHZ


def _files(conn: Any) -> Path:
    return own_files(Path(conn.app_ctx.args.workspace))
