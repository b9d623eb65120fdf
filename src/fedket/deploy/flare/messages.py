"""Outcomes as FLARE carries them: a dictionary with `reply` or `failure`."""

from typing import Any

from fedket.secure.phases import Failure, Outcome, Reply


def pack(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as a message."""
    if isinstance(outcome, Failure):
        return {"failure": outcome.reason}
    return {"reply": dict(outcome.payload)}


def unpack(message: Any, who: str) -> Outcome:
    """Return the outcome in a message, whatever arrived."""
    if isinstance(message, dict) and isinstance(message.get("reply"), dict):
        payload = message["reply"]
        if all(isinstance(name, str) and _is_value(value) for name, value in payload.items()):
            return Reply(payload)
    if isinstance(message, dict) and isinstance(message.get("failure"), str):
        return Failure(f"{who}: {message['failure'][:500]}")
    return Failure(f"{who} sent {type(message).__name__} that is no answer")


def _is_value(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, int) for item in value)
    return isinstance(value, bytes | int | str)
