"""Key managers that misbehave on request: ASGI middleware around the real ones."""

import asyncio
import base64
import email.utils
import json
import threading
import time
from contextlib import suppress

from fastapi.responses import HTMLResponse, JSONResponse

from fedket.keys.kme.app import create_app

CALLS = ("status", "enc_keys", "dec_keys")
FAULTS = (
    *("html", "html_401", "unavailable", "hang", "wrong_kme_id", "fewer_keys", "short_keys"),
    *("duplicate_keys", "repeated_keys", "bad_base64", "drop_reply", "forget_unfetched"),
)
"""Answer a web page (200 or 401), answer 503, never answer, report another KME ID, deliver one key
too few, one byte too short, one key_ID twice, the last answer again, a key that is not base64;
close the connection instead of answering, after the keys left the pool; and throw away what the
slave has not fetched when the master asks again."""

PAGE = "<!doctype html><title>Sign in</title><h1>Please sign in</h1>"
INSTEAD = {
    "html": HTMLResponse(PAGE),
    "html_401": HTMLResponse(PAGE, 401),
    "unavailable": JSONResponse({"message": "the quantum link is down (simulated)"}, 503),
}
POLL_S = 0.05
"""How often a hanging call looks whether it should go on."""


class DroppedError(Exception):
    """Ends a connection in the middle of an answer."""


class Faults:
    """What goes wrong now."""

    def __init__(self) -> None:
        self.last: dict[str, list] = {}
        self.hanging = threading.Event()
        self.set()

    def set(self, *kinds: str, calls: tuple[str, ...] = (), offset_s: float = 0.0) -> None:
        """Replace the faults; without `calls` all calls misbehave."""
        assert set(kinds) <= set(FAULTS)
        assert set(calls) <= set(CALLS)
        self.kinds, self.calls, self.offset_s = kinds, calls or CALLS, offset_s

    def of(self, call: str) -> tuple[str, ...]:
        return self.kinds if call in self.calls else ()

    def application(self, kme, pools):
        """A KME that has these faults."""
        app = create_app(kme, pools)

        async def faulty(scope, receive, send):
            if scope["type"] == "http":
                await self._serve(app, pools, scope, receive, send)

        return faulty

    async def _serve(self, app, pools, scope, receive, send):
        call = scope["path"].rpartition("/")[2]
        receive = await self._hang(call, receive)
        kinds = self.of(call)
        for kind in set(INSTEAD) & set(kinds):
            return await INSTEAD[kind](scope, receive, self._dated(send))
        if call == "enc_keys" and "forget_unfetched" in kinds:
            pools._issued.clear()
        start, body = {}, b""

        async def collect(message):
            nonlocal body
            start.update(message if message["type"] == "http.response.start" else {})
            body += message.get("body", b"")

        await app(scope, receive, collect)
        if start["status"] == 200:
            body = json.dumps(self._spoilt(call, kinds, json.loads(body))).encode()
        headers = [h for h in start["headers"] if h[0] != b"content-length"]
        length = (b"content-length", str(len(body)).encode())
        await self._dated(send)({**start, "headers": [*headers, length]})
        if "drop_reply" in kinds:
            raise DroppedError
        return await send({"type": "http.response.body", "body": body})

    async def _hang(self, call, receive):
        """Wait until the fault is over; what arrives meanwhile is kept."""
        kept = []
        while "hang" in self.of(call):
            self.hanging.set()
            with suppress(TimeoutError):
                kept.append(await asyncio.wait_for(receive(), POLL_S))
            if kept and kept[-1]["type"] == "http.disconnect":
                break

        async def again():
            return kept.pop(0) if kept else await receive()

        return again

    def _dated(self, send):
        async def dated(message):
            if message["type"] == "http.response.start":
                date = email.utils.formatdate(time.time() + self.offset_s, usegmt=True).encode()
                headers = [h for h in message["headers"] if h[0] != b"date"]
                message = {**message, "headers": [*headers, (b"date", date)]}
            await send(message)

        return dated

    def _spoilt(self, call, kinds, answer):
        if "wrong_kme_id" in kinds and call == "status":
            return answer | {"source_KME_ID": f"not-{answer['source_KME_ID']}"}
        if "keys" not in answer:
            return answer
        keys = answer["keys"]
        if "fewer_keys" in kinds:
            keys = keys[1:]
        if "short_keys" in kinds:
            keys = [
                k | {"key": base64.b64encode(base64.b64decode(k["key"])[1:]).decode()} for k in keys
            ]
        if "duplicate_keys" in kinds:
            keys = keys[:1] * len(keys)
        if "bad_base64" in kinds:
            keys = [k | {"key": "*" + k["key"][1:]} for k in keys]
        if "repeated_keys" not in kinds:
            self.last.pop(call, None)
            return {"keys": keys}
        return {"keys": self.last.setdefault(call, keys)}
