"""Outcomes as engines carry them: a dictionary with `reply` or `failure`."""

import logging
from typing import Any

from fedket.errors import FedketError, ProtocolError, printable
from fedket.secure.phases import Failure, Outcome, Payload, Reply

LONGEST = 500
"""Characters of what another party says of an error."""

log = logging.getLogger(__name__)


def pack(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as a message."""
    if isinstance(outcome, Failure):
        return {"failure": outcome.reason}
    return {"reply": dict(outcome.payload)}


def failure_of(error: Exception) -> Failure:
    """Return what another party is told of an error.

    Of errors that nobody foresaw it is the kind alone, as their text may hold anything; that stays
    in this party's log.
    """
    if isinstance(error, FedketError | OSError) and f"{error}":
        return Failure(f"{error}")
    log.error("not foreseen", exc_info=error)
    return Failure(type(error).__name__)


def unpack(message: Any, who: str) -> Outcome:
    """Return the outcome in a message, whatever arrived."""
    if isinstance(message, dict) and _is_payload(message.get("reply")):
        return Reply(message["reply"])
    if isinstance(message, dict) and isinstance(message.get("failure"), str):
        return Failure(f"{who}: {heard(message['failure'])}")
    return Failure(f"{who} sent {type(message).__name__} which is not an answer")


def checked(payload: Any) -> Payload:
    """Return what a request says, if it holds what payloads hold.

    Raises:
        ProtocolError: It does not.
    """
    if not _is_payload(payload):
        raise ProtocolError(f"{type(payload).__name__} came that is not the payload of a request")
    said: Payload = payload
    return said


def heard(reason: str) -> str:
    """Return what another party says of an error, in one line that steers no terminal."""
    return printable(" ".join(reason[:LONGEST].split()))


def _is_payload(value: object) -> bool:
    return isinstance(value, dict) and all(_is_text(k) and _is_value(v) for k, v in value.items())


def _is_value(value: object) -> bool:
    if isinstance(value, list):
        return all(_is_number(item) for item in value)
    return isinstance(value, bytes) or _is_number(value) or _is_text(value)


def _is_number(value: object) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _is_text(value: object) -> bool:
    """Whether it is text that can be written down: Python's may hold halves of characters."""
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)
