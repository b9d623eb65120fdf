"""Sites that come back into a running job.

FLARE ends the whole job when a site's job process is killed, and does not start one again on a
site that was switched off and on. Both are done here, at the site, through FLARE's own extension
points: `SiteLauncher` starts a killed process again, and after a restart of the site the processes
of jobs that were running; `SiteExecutor` needs nothing of the server to answer it, whenever it
starts. The server's membership then lets it in for the next round.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nvflare.apis.client import from_dict
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, JobConstants
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.apis.job_launcher_spec import JobHandleSpec
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.job_launcher.client_process_launcher import ClientProcessJobLauncher
from nvflare.collab.runtime.defs import SETUP_TASK_NAME, SyncKey
from nvflare.collab.runtime.executor import CollabExecutor
from nvflare.fuel.f3.cellnet.fqcn import FQCN

from fedket.deploy.engines.flare.latecomers import everybody
from fedket.deploy.engines.flare.launch import guarded
from fedket.deploy.terminal import at_terminal

RUNNING = "fedket-running"
"""File in the folder of a job at a site."""


class SiteHandle(JobHandleSpec):  # type: ignore[misc]
    """A job process that is started again when something kills it.

    Args:
        launch: Starts the process.
    """

    def __init__(self, launch: Callable[[], Any]) -> None:
        super().__init__()
        self._launch, self._process, self._ended = launch, launch(), False

    def terminate(self) -> None:
        """End it for good."""
        self._ended = True
        self._process.terminate()

    def poll(self) -> Any:
        """Return FLARE's code for how it ended, or that it has not."""
        return self._process.poll()

    def wait(self) -> None:
        """Wait for the end of the job at this site."""
        while True:
            self._process.wait()
            code = self._process.adapter.poll()
            if self._ended or code is None or code >= 0:
                return
            at_terminal(f"the job's process was killed by signal {-code}; it is started again")
            self._process = self._launch()


class SiteLauncher(ClientProcessJobLauncher):  # type: ignore[misc]
    """FLARE's process launcher, for sites whose processes may be killed."""

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> str:
        """Return the command of a job's process."""
        return guarded(super().get_command(job_meta, fl_ctx))

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> SiteHandle:
        """Start a job's process."""
        workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        job_id = job_meta[JobConstants.JOB_ID]
        (Path(workspace.get_run_dir(job_id)) / RUNNING).touch()
        start = super().launch_job
        return SiteHandle(lambda: start(job_meta, fl_ctx))

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Go on with jobs after a restart of the site, forget those that ended."""
        super().handle_event(event_type, fl_ctx)
        workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        if event_type == EventType.SYSTEM_START:
            for mark in Path(workspace.get_root_dir()).glob(f"*/{RUNNING}"):
                job_id = mark.parent.name
                meta = json.loads(Path(workspace.get_job_meta_path(job_id)).read_text())
                at_terminal(f"job {job_id} was running when this site stopped; it goes on")
                fl_ctx.get_engine().start_app(job_id, meta)
        if event_type == EventType.JOB_COMPLETED:
            job_id = fl_ctx.get_prop(FLContextKey.CURRENT_JOB_ID)
            (Path(workspace.get_run_dir(job_id)) / RUNNING).unlink(missing_ok=True)


class SiteExecutor(CollabExecutor):  # type: ignore[misc]
    """FLARE's executor of Collab jobs, which asks the server for nothing before it answers."""

    def _handle_start_run(self, event_type: str, fl_ctx: FLContext) -> None:
        """Make ways to the server and to all sites, also to those that are not there yet."""
        super()._handle_start_run(event_type, fl_ctx)
        from nvflare.collab.api.app import ServerApp

        from fedket.deploy.engines.flare.place import kit_folder
        from fedket.deploy.engines.flare.server_app import FederationServer
        from fedket.deploy.files import SITE, read_site, seats_of

        file = read_site(kit_folder(fl_ctx.get_workspace()) / SITE)
        names = [file.sites[i] for i in seats_of(file)]
        meta = fl_ctx.get_prop(FLContextKey.JOB_META)
        sites = everybody(names, [from_dict(told) for told in meta[JobMetaKey.JOB_CLIENTS]])
        meta[JobMetaKey.JOB_CLIENTS] = [site.to_dict() for site in sites]
        own = self.client_app.get_collab_interface()
        told = Shareable()
        told[SyncKey.COLLAB_INTERFACE] = ServerApp(FederationServer()).get_collab_interface()
        told[SyncKey.CLIENT_INTERFACES] = {site.name: own for site in sites}
        told[SyncKey.SERVER_FQCN] = FQCN.join([FQCN.ROOT_SERVER, fl_ctx.get_job_id()])
        self.execute(SETUP_TASK_NAME, told, fl_ctx, Signal())

    def _shutdown_call_executors(self) -> None:
        """Wait for no call that is still answered, such as for key: nobody hears the answer."""
        for executor in (self.inbound_executor, self.outbound_executor):
            executor.shutdown(wait=False, cancel_futures=True)
