"""FLARE's controller of a Collab job, for all sites of the federation, also those that come late.

FLARE's own waits until every site that is connected has been set up, and lets nobody in later. Here
the sites set themselves up (`fedket.deploy.engines.flare.rejoin.SiteExecutor`), and the server's
membership finds them as they come, whenever that is.
"""

import json
import threading
from pathlib import Path
from typing import Any

from nvflare.apis.fl_context import FLContext
from nvflare.apis.signal import Signal
from nvflare.collab.api.app import ClientApp
from nvflare.collab.runtime.controller import CollabController
from nvflare.collab.runtime.dispatch import make_participant_map, prepare_for_remote_call
from nvflare.collab.runtime.lifecycle import run_server

from fedket.deploy.engines.flare.latecomers import SITES, everybody
from fedket.deploy.engines.flare.place import kit_folder
from fedket.deploy.engines.flare.site_app import FederationSite

REFRESH_S = 2.0


class FederationController(CollabController):  # type: ignore[misc]
    """Runs the server's object as soon as the job's process is there."""

    def control_flow(self, abort_signal: Signal, fl_ctx: FLContext) -> None:
        """Make ways to all sites, then run the rounds."""
        from fedket.deploy.files import FEDERATION, read_federation, seats_of

        engine, workspace, job = fl_ctx.get_engine(), fl_ctx.get_workspace(), fl_ctx.get_job_id()
        self.cell = engine.get_cell()
        file = read_federation(kit_folder(workspace) / FEDERATION)
        names = [file.sites[i] for i in seats_of(file)]
        connected = engine.get_clients()
        sites = everybody(names, connected)
        (Path(workspace.get_run_dir(job)) / SITES).write_text(json.dumps([s.name for s in sites]))
        participants = make_participant_map(self.cell.get_fqcn(), job, sites)
        app = self.server_app
        prepare_for_remote_call(self.cell, app, self.logger, self.inbound_executor, participants)
        own = app.get_collab_interface()
        server = self._prepare_server_proxy(job, abort_signal, own, fl_ctx)
        theirs = ClientApp(FederationSite()).get_collab_interface()
        ways = [
            self._prepare_client_proxy(job, site, theirs, abort_signal, fl_ctx) for site in sites
        ]
        app.setup(workspace, server, ways, abort_signal)
        engine.get_component(self.server_obj_id).connected = {c.name for c in connected}
        ended = threading.Event()
        threading.Thread(target=_refresh, args=(engine, job, ended), daemon=True).start()
        try:
            run_server(app, self.logger)
        finally:
            ended.set()


def _refresh(engine: Any, job: str, ended: threading.Event) -> None:
    """Let FLARE's part of this process know sites that came after the job had begun."""
    while not ended.wait(REFRESH_S):
        if clients := engine._retrieve_clients_data(job):
            engine.client_manager.set_clients(clients)
