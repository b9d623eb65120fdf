"""Requests and outcomes as Flower's records."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from flwr.app import ConfigRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto
from google.protobuf.message import DecodeError

from fedket.deploy.messages import pack, unpack
from fedket.errors import ProtocolError
from fedket.secure.phases import Outcome

PHASE, PEER = "query.phase", "query.peer"
"""Types of messages: a request of the server, and one of another party about the link with it."""


class Request(NamedTuple):
    """What a party is asked.

    Attributes:
        caller: Who asks: `server`, or the name of a site.
        action: What to do.
        payload: Its arguments, whatever arrived.
    """

    caller: str
    action: str
    payload: Mapping[str, Any]


def write_request(request: Request) -> RecordDict:
    """Return a request as records."""
    about = ConfigRecord({"caller": request.caller, "action": request.action})
    return RecordDict({"about": about, "payload": ConfigRecord(dict(request.payload))})


def read_request(records: RecordDict) -> Request:
    """Return what records ask, whatever arrived."""
    about = records.get("about", {})
    said = dict(records.get("payload", {}))
    return Request(f"{about.get('caller', '')}", f"{about.get('action', '')}", said)


def write_outcome(outcome: Outcome) -> RecordDict:
    """Return an outcome as records."""
    ((kind, said),) = pack(outcome).items()
    return RecordDict({kind: ConfigRecord(said if kind == "reply" else {"reason": said})})


def read_outcome(records: RecordDict, who: str) -> Outcome:
    """Return the outcome in records, whatever arrived.

    Args:
        records: What arrived.
        who: Who sent it.
    """
    failure = records.get("failure", {}).get("reason")
    if failure is not None:
        return unpack({"failure": failure}, who)
    return unpack({"reply": dict(records["reply"])} if "reply" in records else None, who)


def to_bytes(records: RecordDict) -> bytes:
    """Return records as the body of an HTTP request or answer."""
    return bytes(recorddict_to_proto(records).SerializeToString())


def from_bytes(body: bytes) -> RecordDict:
    """Return the records in a body.

    Raises:
        ProtocolError: There are none.
    """
    try:
        return recorddict_from_proto(RecordDictProto.FromString(body))
    except (DecodeError, TypeError, ValueError) as error:
        raise ProtocolError(f"{len(body)} bytes came that hold no records: {error}") from None
