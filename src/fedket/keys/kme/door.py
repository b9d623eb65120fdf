"""What every request and answer of a key manager passes through, before and after FastAPI."""

import email.utils
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import JSONResponse

MAX_BODY = 1 << 20
"""Longest request in bytes."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Door:
    """ASGI middleware: long bodies are refused, paths stay encoded, answers get their Date.

    Routes see the path as it was sent, so that an SAE ID may hold an encoded slash; handlers
    decode it.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = email.utils.formatdate(usegmt=True)
                message["headers"] = [*message["headers"], (b"date", date.encode("ascii"))]
            await send(message)

        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        long = not length.isdigit() or len(length) > 9 or int(length) > MAX_BODY
        if b"transfer-encoding" in headers or long:
            problem = {"message": f"bad request: give its length, at most {MAX_BODY} bytes"}
            refusal = JSONResponse(problem, 400, headers={"Connection": "close"})
            return await refusal(scope, receive, send_dated)
        scope = {**scope, "path": scope["raw_path"].decode("ascii")}
        return await self._app(scope, receive, send_dated)
