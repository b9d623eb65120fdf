"""Parties that attack others with FLARE's own messages; stand in for ours in tests.

What they try, and what they got, is written to `HOSTILE`, a folder in the environment. Run as
`python hostile_party.py URL NAME VICTIM [STARTUP]` this is another user of a site's machine, who
connects to a port of it under a name, with the certificate in a startup folder or with none.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

from nvflare.collab import collab
from nvflare.fuel.f3.cellnet.core_cell import CoreCell, TargetMessage
from nvflare.fuel.f3.cellnet.utils import new_cell_message
from nvflare.fuel.f3.message import Message as CellMessage
from nvflare.private.admin_defs import Message

from fedket.deploy.engines.flare.server_app import FederationServer
from fedket.deploy.engines.flare.site_app import FederationSite

WAIT_S = 1.0
PACE_S = 0.5


def assault(cell, victim, job=""):
    """Try everything on a victim; what it answered, by what was tried."""
    got = {}

    def ask(target, channel, topic, payload):
        reply = cell.send_request(
            channel, topic, target, new_cell_message({}, payload), timeout=WAIT_S, optional=True
        )
        said = getattr(reply.payload, "body", reply.payload)
        got[f"{target} {channel} {topic}"] = f"{reply.headers.get('cn__return_code')} {said}"

    def smuggle(target, channel, topic, payload):
        """Hide a request in a message that carries several."""
        hidden = TargetMessage(target, channel, topic, new_cell_message({}, payload))
        bulk = CellMessage(None, [hidden.to_dict()])
        cell.fire_and_forget("cellnet.channel", "bulk", [target], bulk, optional=True)

    loot = Path(os.environ["HOSTILE"]) / "secret"
    ask(victim, "admin", "sys.shell", Message("sys.shell", f"cat {loot}"))
    ask(victim, "admin", "train.check_status", Message("sys.shell", f"cat {loot}"))
    ask(victim, "admin", "sys.info", Message("sys.info", ""))
    ask(victim, "admin", "sys.report_env", Message("sys.report_env", ""))
    ask(victim, "admin", "log", Message("sys.configure_site_log", "critical"))
    ask(victim, "admin", "train.delete_run", Message("train.delete_run", ""))
    ask(victim, "_net_manager", "process_info", None)
    if job:
        ask(f"{victim}.{job}", "client_command", "configure_job_log", "critical")
        ask(f"{victim}.{job}", "client_command", "abort", None)
        ask(f"server.{job}", "_net_manager", "stop_cell", None)
    ask("server", "_net_manager", "process_info", None)
    smuggle(victim, "admin", "train.shutdown", Message("train.shutdown", ""))
    ask(victim, "admin", "train.restart", Message("train.restart", ""))
    ask(victim, "admin", "train.shutdown", Message("train.shutdown", ""))
    ask(victim, "_net_manager", "stop_cell", None)
    return got


def record(who, got):
    """Write what somebody got."""
    path = Path(os.environ["HOSTILE"]) / f"{who}.json"
    path.write_text(json.dumps(got, indent=1))


def own_cell():
    """The cell of this job's process, and the job's ID."""
    (cell,) = CoreCell.ALL_CELLS.values()
    return cell, cell.get_fqcn().partition(".")[2]


class HostileSite(FederationSite):
    """The first site attacks the second one in a round, and is slow until all attacks are over."""

    @collab.publish
    def phase(self, action, payload):
        """Answer the server; attack once."""
        done = Path(os.environ["HOSTILE"]) / "site.json"
        if collab.site_name == "site-1" and action == "upload" and not done.exists():
            record("site", {})
            cell, job = own_cell()
            record("site", assault(cell, "site-2", job))
        end = time.monotonic() + (PACE_S if action == "upload" else 0.0)
        while time.monotonic() < end and not (done.parent / "over").exists():
            time.sleep(PACE_S / 20)
        return super().phase(action, payload)


class HostileServer(FederationServer):
    """The server's job attacks the second site while it runs."""

    @collab.main
    def run(self):
        """Run all rounds, and attack."""
        cell, _ = own_cell()
        threading.Timer(8.0, lambda: record("server", assault(cell, "site-2"))).start()
        return super().run()


def intrude(url, name, victim, startup=""):
    """Attack as another user of the victim's machine."""
    folder = Path(startup)
    own = ("ca_cert", "rootCA.pem"), ("client_cert", "client.crt"), ("client_key", "client.key")
    credentials = {param: str(folder / file) for param, file in own} if startup else {}
    cell = CoreCell(name, url, bool(startup), credentials, parent_url=url)
    cell.start()
    end = time.monotonic() + 4
    while time.monotonic() < end and not cell.is_cell_connected(victim):
        time.sleep(0.1)
    got = assault(cell, victim) if cell.is_cell_connected(victim) else {"connection": "refused"}
    record(f"{name} with {'a' if startup else 'no'} certificate", got)
    os._exit(0)


if __name__ == "__main__":
    intrude(*sys.argv[1:])
