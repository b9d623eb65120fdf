"""What a party's process answers on FLARE's channels: what a run needs, and nothing else.

FLARE serves the channels of a process to whoever reaches it, so that one site could read another's
files, stop it, or send it to another server, through messages meant for administrators. Here every
request is looked up in a table of who may ask whom for what. `party` installs this before FLARE
starts, in the process of a kit and in those of its jobs.

A cell, FLARE's end of the messages of a process, is named `server` or `SITE`; that of a job's
process has the job's ID after a dot. An administrator's begins with `_admin_`.
"""

import inspect
import logging
import time
from collections import deque
from collections.abc import Callable, Collection
from functools import partial, wraps
from typing import Any

import nvflare
from nvflare.fuel.f3.cellnet import cell as f3_cell
from nvflare.fuel.f3.cellnet.core_cell import CoreCell
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey, ReturnCode
from nvflare.fuel.f3.cellnet.utils import make_reply, new_cell_message
from nvflare.fuel.f3.drivers.driver_params import DriverParams
from nvflare.fuel.f3.sfm.sfm_endpoint import SfmEndpoint
from nvflare.fuel.f3.streaming.stream_const import (
    STREAM_ACK_TOPIC,
    STREAM_CHANNEL,
    STREAM_DATA_TOPIC,
    STREAM_ERROR_TOPIC,
    StreamHeaderKey,
)
from nvflare.private.admin_defs import error_reply
from nvflare.private.fed.client.admin import FedAdminAgent

from fedket.errors import ConfigError

VERSION = "2.9."
"""Of FLARE, whose inside this module knows."""

BYE = "cellnet.channel/bye"

ANSWERED = {
    ("server", "site"): {
        BYE,
        "task/challenge",
        "task/heart_beat",
        "task/quit",
        "task/register",
        "task/report_job_failure",
    },
    ("server", "site job"): {BYE},
    ("server", "server job"): {BYE, "server_parent_listener/*"},
    ("server", "admin"): {
        BYE,
        "aux_communication/*",
        "hci_channel/*",
        "task/challenge",
        "task/quit",
        "task/register",
    },
    ("server job", "server"): {BYE, "server_command/*"},
    ("server job", "site job"): {
        "aux_communication/__job_heartbeat__",
        "aux_communication/__sync_runner__",
        "aux_communication/__task_check__",
        "collab/call",
        "return_only/*",
        "server_command/get_task",
        "server_command/submit_update",
    },
    ("site", "server"): {BYE, "admin/*"},
    ("site", "site job"): {BYE, "admin/*"},
    ("site job", "server"): {BYE},
    ("site job", "site"): {BYE, "client_command/abort", "client_command/check_status"},
    ("site job", "server job"): {
        "aux_communication/__end_run__",
        "collab/call",
        "return_only/*",
    },
    ("site job", "site job"): {"collab/call", "return_only/*"},
}
"""(who is asked, who asks) -> CHANNEL/TOPIC, or all topics of a channel."""

ADMINISTERED = {
    "server": {
        "scheduler.cancel_resource",
        "scheduler.check_resource",
        "train.abort",
        "train.check_status",
        "train.deploy",
        "train.start_job",
    },
    "site job": {"train.notify_job_status"},
}
"""Who asks a site -> what of its `admin` channel: begin, see and end a job. Not there: the shell,
shutdown, restart, deletion, what the machine is like, what is logged."""

COPIES, COPIES_S = 4, 20.0
"""So many connections of one party in so many seconds are those of two, in turns."""

log = logging.getLogger(__name__)


def kind_of(cell: str) -> str:
    """What a cell is: one of the names in `ANSWERED`."""
    if cell.startswith("_admin_"):
        return "admin"
    root, _, job = cell.partition(".")
    return ("server" if root == "server" else "site") + (" job" if job else "")


def answers(cell: str, origin: str, channel: str, topic: str) -> bool:
    """Whether a cell answers a request.

    Args:
        cell: Who is asked.
        origin: Who asks.
        channel: Of the request.
        topic: Of the request.
    """
    (own_root, _, own_job), (root, _, job) = cell.partition("."), origin.partition(".")
    if own_job and job:
        related = own_job == job
    else:
        related = own_root == root or "server" in (own_root, root)
    allowed = ANSWERED.get((kind_of(cell), kind_of(origin)), set())
    return related and not allowed.isdisjoint({f"{channel}/{topic}", f"{channel}/*"})


def may_come_from(cell: str, neighbour: str, origin: str) -> bool:
    """Whether a message that arrives from a neighbour can be of whom it names.

    The server, and a job's own parent, carry messages of others; everybody else its own and its
    children's.
    """
    return _is_above(neighbour, cell) or origin == neighbour or origin.startswith(f"{neighbour}.")


def _is_above(other: str, cell: str) -> bool:
    return (other == "server" != cell) or cell.startswith(f"{other}.")


def install(departed: Callable[[], Collection[str]] = tuple) -> None:
    """Guard all cells that this process will have.

    Args:
        departed: -> names of parties that have left, as their certificates have them.

    Raises:
        ConfigError: This FLARE is not the one that is known here; nothing may be started.
    """
    arriving = partial(_arriving, departed)
    places: list[tuple[Any, str, Callable[[Any], Any], list[str]]] = [
        (CoreCell, "_process_received_msg", arriving, ["endpoint", "connection", "message"]),
        (CoreCell, "_process_request", _asking, ["origin", "message"]),
        (FedAdminAgent, "_dispatch_request", _administering, ["request"]),
        (f3_cell, "_is_server_job_cell", _surviving, []),
        (SfmEndpoint, "add_connection", _joining, ["sfm_conn"]),
    ]
    for owner, name, guard, wanted in places:
        found = getattr(owner, name, None)
        shape = list(inspect.signature(found).parameters)[1:] if callable(found) else None
        if shape != wanted or not nvflare.__version__.startswith(VERSION):
            raise ConfigError(
                f"FLARE {nvflare.__version__} cannot be guarded: its {owner.__name__}.{name} is "
                f"not that of FLARE {VERSION}x; install it with: pip install 'fedket[flare]'"
            )
        setattr(owner, name, guard(found))


def _surviving(_: Callable[..., Any]) -> Callable[..., Any]:
    """Keep FLARE from ending the server's job where a site's message cannot be read."""
    return lambda _: False


def _arriving(
    departed: Callable[[], Collection[str]], process: Callable[..., Any]
) -> Callable[..., Any]:
    """Drop messages of who has left, and those, also to be passed on, that name another sender."""

    @wraps(process)
    def guarded(self: Any, endpoint: Any, connection: Any, message: Any) -> Any:
        origin = str(message.get_header(MessageHeaderKey.ORIGIN))
        if connection and endpoint.conn_props.get(DriverParams.PEER_CN.value) in departed():
            log.warning("ended the connection of %.80r, which has left", endpoint.name)
            connection.close()
            return None
        # Without a connection it comes from this very process.
        if connection and not may_come_from(self.get_fqcn(), endpoint.name, origin):
            log.warning("dropped a message of %.80r that came from %.80r", origin, endpoint.name)
            return None
        return process(self, endpoint, connection, message)

    return guarded


def _joining(process: Callable[..., Any]) -> Callable[..., Any]:
    """Name what two copies of a kit do: each new connection of the one ends that of the other."""
    joined: dict[str, deque[float]] = {}

    @wraps(process)
    def guarded(self: Any, sfm_conn: Any) -> Any:
        name = self.endpoint.name
        times = joined.setdefault(name, deque(maxlen=COPIES))
        if self.connections or name == "server":  # to which a site connects once
            times.append(time.monotonic())
        if len(times) == COPIES and times[-1] - times[0] < COPIES_S:
            here = "this site" if name == "server" else f"site {name.partition('.')[0]}"
            log.warning("two copies of %s run at once, maybe on two machines: stop one", here)
            times.clear()
        return process(self, sfm_conn)

    return guarded


def _asking(process: Callable[..., Any]) -> Callable[..., Any]:
    """Answer what `ANSWERED` says; a request in a stream is looked up by its own channel."""

    @wraps(process)
    def guarded(self: Any, origin: str, message: Any) -> Any:
        own, header = self.get_fqcn(), message.get_header
        channel, topic = header(MessageHeaderKey.CHANNEL), header(MessageHeaderKey.TOPIC)
        in_stream = channel == STREAM_CHANNEL and topic in (STREAM_ACK_TOPIC, STREAM_ERROR_TOPIC)
        if (channel, topic) == (STREAM_CHANNEL, STREAM_DATA_TOPIC):
            channel, topic = header(StreamHeaderKey.CHANNEL), header(StreamHeaderKey.TOPIC)
        if in_stream or answers(own, origin, channel, topic):
            return process(self, origin, message)
        log.warning("refused %.80r of %.80r", f"{channel}/{topic}", origin)
        return make_reply(ReturnCode.INVALID_REQUEST, error="refused")

    return guarded


def _administering(dispatch: Callable[..., Any]) -> Callable[..., Any]:
    """Answer what `ADMINISTERED` says."""

    @wraps(dispatch)
    def guarded(self: Any, request: Any) -> Any:
        origin = str(request.get_header(MessageHeaderKey.ORIGIN))
        topic = getattr(request.payload, "topic", None)
        if topic in ADMINISTERED.get(kind_of(origin), set()):
            return dispatch(self, request)
        log.warning("refused %.80r of %.80r", topic, origin)
        return new_cell_message({}, error_reply("refused"))

    return guarded
