"""Sites that connect after a job has begun: the server's process hands them the job.

FLARE hands a job to who is connected when it begins. The job's process at the server expects every
site of the federation (`fedket.deploy.engines.flare.controller`), so who gets the job later only
has to start it: the others' rounds go on meanwhile. All through FLARE's own requests to a site, to
deploy and to start a job.
"""

import json
import logging
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from threading import Thread
from typing import Any

from nvflare.apis.client import Client
from nvflare.apis.fl_constant import RunProcessKey, SystemComponents
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.apis.job_scheduler_spec import DispatchInfo
from nvflare.private.admin_defs import MsgHeader, ReturnCode

SITES = "fedket-sites.json"
"""In a job's folder at the server: names of the sites that its process expects."""

LOOK_S = 1.0
DEPLOY_S = 20.0

log = logging.getLogger(__name__)


class Doorkeeper(Thread):
    """Looks for sites that are connected and not in a running job.

    Args:
        engine: FLARE's, of the server's process.
        root: The server's startup kit.
    """

    def __init__(self, engine: Any, root: Path) -> None:
        super().__init__(daemon=True)
        self._engine, self._root = engine, root

    def run(self) -> None:
        """Look, as long as the process lives."""
        while True:
            time.sleep(LOOK_S)
            try:
                self.look()
            except Exception:  # FLARE's; the site is looked for again
                log.exception("a job was not handed to who came late")

    def look(self) -> None:
        """Hand running jobs to sites that came late."""
        for job_id, process in list(self._engine.run_processes.items()):
            self._look(job_id, process)

    def _look(self, job_id: str, process: dict[str, Any]) -> None:
        expected = self._root / job_id / SITES
        job = self._engine.job_runner.running_jobs.get(job_id)
        if job is None or not expected.is_file():
            return
        names = json.loads(expected.read_text())
        inside = process[RunProcessKey.PARTICIPANTS]
        new, known = latecomers(self._engine.get_clients(), inside, names)
        for client in new:
            with self._engine.new_context() as context:
                if self.hand_over(job, client, context):
                    known.append(client)
                    log.info("%s came after job %s had begun, and is in it", client.name, job_id)
        if known:  # others read the old one meanwhile
            process[RunProcessKey.PARTICIPANTS] = inside | {c.token: c for c in known}

    def hand_over(self, job: Any, client: Client, context: FLContext) -> bool:
        """Deploy and start a job at a site; returns whether the site has it."""
        engine, name = self._engine, client.name
        app = next(iter(job.get_deployment()))
        request = engine.job_runner._make_deploy_message(
            job, job.get_application(app, context), app, context
        )
        send = engine.server.admin_server.send_requests_and_get_reply_dict
        reply = send({client.token: request}, timeout_secs=DEPLOY_S)[client.token]
        if not reply or reply.get_header(MsgHeader.RETURN_CODE, ReturnCode.OK) != ReturnCode.OK:
            return False
        there, token = engine.check_client_resources(job, {name: {}}, context)[name]
        if not there:
            return False
        job.meta[JobMetaKey.JOB_CLIENTS] = [*job.meta[JobMetaKey.JOB_CLIENTS], client.to_dict()]
        engine.start_client_job(job, {name: DispatchInfo(app, {}, token)}, context)
        jobs = engine.get_component(SystemComponents.JOB_MANAGER)
        key = JobMetaKey.JOB_DEPLOY_DETAIL.value
        who = [*(jobs.get_job(job.job_id, context).meta.get(key) or []), f"{name}: OK"]
        jobs.update_meta(job.job_id, {key: who}, context)
        return True


def latecomers(
    connected: Iterable[Client], participants: Mapping[str, Client], expected: Collection[str]
) -> tuple[list[Client], list[Client]]:
    """Return the sites that a job is to be handed to, and those that have it already.

    Args:
        connected: Sites that FLARE sees now.
        participants: Token -> site that has the job.
        expected: Names of the sites that the job knows.

    Returns:
        Sites that never had it, and sites that came back under another token.
    """
    names = {client.name for client in participants.values()}
    others = [c for c in connected if c.token not in participants and c.name in expected]
    return (
        [client for client in others if client.name not in names],
        [client for client in others if client.name in names],
    )


def everybody(names: Iterable[str], told: list[Client]) -> list[Client]:
    """Return the sites of a job as FLARE knows them: those of the federation, and all others."""
    known = {client.name: client for client in told}
    return [*told, *(Client(name, "") for name in names if name not in known)]
