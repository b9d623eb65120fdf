"""Outcomes as FLARE carries them: a dictionary with `reply` or `failure`."""

import logging
from typing import Any

from fedket.errors import FedketError
from fedket.secure.phases import Failure, Outcome, Reply

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
    if isinstance(message, dict) and isinstance(message.get("reply"), dict):
        payload = message["reply"]
        if all(isinstance(name, str) and _is_value(value) for name, value in payload.items()):
            return Reply(payload)
    if isinstance(message, dict) and isinstance(message.get("failure"), str):
        return Failure(f"{who}: {message['failure'][:500]}")
    return Failure(f"{who} sent {type(message).__name__} which is not an answer")


def _is_value(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, int) for item in value)
    return isinstance(value, bytes | int | str)
