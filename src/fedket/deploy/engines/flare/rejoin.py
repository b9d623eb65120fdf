"""Sites that come back into a running job.

FLARE ends the whole job when a site's job process is killed or fails, and does not start one again
on a site that was switched off and on. Both are done here, at the site, through FLARE's own
extension points: `SiteLauncher` starts such a process again, and after a restart of the site the
processes of jobs that were running; `SiteExecutor` needs nothing of the server to answer it,
whenever it starts. The server's membership then lets it in for the next round.
"""

import json
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from nvflare.apis.client import from_dict
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, FLMetaKey, JobConstants
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
from fedket.deploy.kit import own_files
from fedket.deploy.operating.news import keeping_news
from fedket.deploy.terminal import at_terminal

RUNNING = "fedket-running"
"""File in the folder of a job at a site."""


PAUSE_S, LONGEST_S = 15.0, 300.0
"""Before a process that has failed is started again; twice as long each time."""


class SiteHandle(JobHandleSpec):  # type: ignore[misc]
    """A job process that is started again when something kills it, or when it fails.

    FLARE would end the job at all parties for one site's failure; the server's membership does
    without the site meanwhile.

    Args:
        launch: Starts the process.
        say: Where news for the site's operator go.
        told: File in which the process tells FLARE how it failed.
    """

    def __init__(self, launch: Callable[[], Any], say: Callable[[str], None], told: Path) -> None:
        super().__init__()
        self._launch, self._process, self._ended = launch, launch(), Event()
        self._say, self._told = say, told

    def terminate(self) -> None:
        """End it for good."""
        self._ended.set()
        self._process.terminate()

    def poll(self) -> Any:
        """Return FLARE's code for how it ended, or that it has not."""
        return self._process.poll()

    def wait(self) -> None:
        """Wait for the end of the job at this site."""
        pause = PAUSE_S
        while True:
            self._process.wait()
            code = self._process.adapter.poll()
            if self._ended.is_set() or not code:
                return
            if code < 0:
                self._say(f"the job's process was killed by signal {-code}; it is started again")
            else:
                self._told.unlink(missing_ok=True)
                self._say(
                    f"problem: the job's process ended with code {code}, {self._told.parent} has "
                    f"its log; it is started again in {pause:g} s"
                )
                if self._ended.wait(pause):
                    return
                pause = min(2 * pause, LONGEST_S)
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
        folder = Path(workspace.get_run_dir(job_id))
        (folder / RUNNING).touch()
        start, own = super().launch_job, own_files(Path(workspace.get_root_dir()))
        say = keeping_news(lambda: own, at_terminal)
        told = folder / FLMetaKey.PROCESS_RC_FILE
        return SiteHandle(lambda: start(job_meta, fl_ctx), say, told)

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
