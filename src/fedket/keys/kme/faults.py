"""How a key manager misbehaves on request."""

import asyncio
import base64
from contextlib import suppress

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from fedket.keys.etsi014.models import Call
from fedket.keys.kme.config import Fault, FaultSection
from fedket.keys.kme.pools import Network, PoolKey

PAGE = "<!doctype html><title>Sign in</title><h1>Please sign in</h1>"

POLL_S = 0.05
"""How often a hanging call looks whether it should go on."""

Entry = dict[str, str]
"""One key of a container on the wire: key_ID and key."""


class InsteadError(Exception):
    """Carries a response that a fault puts in place of the answer."""

    def __init__(self, response: Response) -> None:
        super().__init__("a fault was injected")
        self.response = response


def has(faults: FaultSection, call: Call, kind: Fault) -> bool:
    """Whether a call misbehaves in this way."""
    return call in faults.calls and kind in faults.kinds


async def misbehave(network: Network, call: Call, request: Request) -> None:
    """Answer wrongly before anything is done, if a fault says so; a hang ends with its fault.

    Raises:
        InsteadError: With what to answer.
    """
    while has(network.faults, call, "hang"):
        with suppress(TimeoutError):
            message = await asyncio.wait_for(request.receive(), POLL_S)
            if message["type"] == "http.disconnect":
                break
    faults = network.faults
    if has(faults, call, "html"):
        raise InsteadError(HTMLResponse(PAGE))
    if has(faults, call, "html_401"):
        raise InsteadError(HTMLResponse(PAGE, 401))
    if has(faults, call, "unavailable"):
        raise InsteadError(JSONResponse({"message": "the quantum link is down (simulated)"}, 503))


class Spoiler:
    """Writes keys as they go over the wire, spoilt if a fault says so."""

    def __init__(self) -> None:
        self._last: dict[Call, list[Entry]] = {}

    def entries(self, keys: tuple[PoolKey, ...], faults: FaultSection, call: Call) -> list[Entry]:
        """The keys of one answer."""
        fresh = [{"key_ID": k.key_id, "key": _base64(k.secret.reveal())} for k in keys]
        if has(faults, call, "fewer_keys"):
            fresh = fresh[1:]
        if has(faults, call, "short_keys"):
            fresh = [e | {"key": _base64(base64.b64decode(e["key"])[1:])} for e in fresh]
        if has(faults, call, "duplicate_keys"):
            fresh = [fresh[0] for _ in fresh]
        if has(faults, call, "bad_base64"):
            fresh = [e | {"key": "*" + e["key"][1:]} for e in fresh]
        if not has(faults, call, "repeated_keys"):
            self._last.pop(call, None)
            return fresh
        return self._last.setdefault(call, fresh)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
