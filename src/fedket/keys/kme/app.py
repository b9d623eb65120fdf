"""One key manager as a web application: the paths and errors of ETSI GS QKD 014 V1.1.1.

Its only errors are 400 and 503 with a message and 401 without a body. The calling SAE is who its
TLS certificate says; `fedket.keys.kme.server` puts that certificate into the request's state.

What a request leaves out has the standard's defaults, the body and its media type included; what
it says beyond the standard's words is refused before it costs a key.
"""

import base64
import json
from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from fedket.keys.etsi014.models import API, KeyIds, KeyRequest, Status, Wire
from fedket.keys.kme.config import KmeSection
from fedket.keys.kme.door import Door
from fedket.keys.kme.pools import KeyPools, PoolKey, RefusedError
from fedket.keys.kme.service import get_keys, get_keys_by_id, get_status, sae_of

W = TypeVar("W", bound=Wire)


def create_app(kme: KmeSection, pools: KeyPools) -> FastAPI:
    """Build the application of one of the KMEs that share pools."""
    app = FastAPI(title=f"KME {kme.id} (simulated keys)", openapi_url=None)
    app.add_middleware(Door)
    _add_errors(app)
    _add_calls(app, kme, pools)
    return app


def _add_calls(app: FastAPI, kme: KmeSection, pools: KeyPools) -> None:
    async def caller(request: Request) -> str:
        return sae_of(getattr(request.state, "peer_certificate", None), kme)

    async def other(sae_id: str) -> str:
        return unquote(sae_id)

    Caller = Annotated[str, Depends(caller)]
    Other = Annotated[str, Depends(other)]

    @app.get(API + "/{sae_id}/status")
    async def status(request: Request, me: Caller, slave: Other) -> Status:
        _query(request)
        return get_status(pools, kme.id, me, slave)

    @app.get(API + "/{sae_id}/enc_keys")
    async def enc_keys(request: Request, me: Caller, slave: Other) -> Response:
        asked = {
            name: _number(name, text) for name, text in _query(request, "number", "size").items()
        }
        return _delivered(get_keys(pools, me, slave, KeyRequest.model_validate(asked)))

    @app.post(API + "/{sae_id}/enc_keys")
    async def post_enc_keys(request: Request, me: Caller, slave: Other) -> Response:
        _query(request)
        asked = _read(KeyRequest, await request.body() or b"{}")
        return _delivered(get_keys(pools, me, slave, asked))

    @app.get(API + "/{sae_id}/dec_keys")
    async def dec_keys(request: Request, me: Caller, master: Other) -> Response:
        asked = _query(request, "key_ID")
        if "key_ID" not in asked:
            raise RefusedError(400, "bad request: query.key_ID is missing")
        return _delivered(get_keys_by_id(pools, me, master, [asked["key_ID"]]))

    @app.post(API + "/{sae_id}/dec_keys")
    async def post_dec_keys(request: Request, me: Caller, master: Other) -> Response:
        _query(request)
        ids = _read(KeyIds, await request.body())
        key_ids = [entry.key_ID for entry in ids.key_IDs]
        return _delivered(get_keys_by_id(pools, me, master, key_ids))


def _query(request: Request, *names: str) -> dict[str, str]:
    """The parameters of a request, each of them known and there once."""
    found = request.query_params.multi_items()
    for name, _ in found:
        if name not in names:
            raise RefusedError(400, "bad request: a parameter of the query is unknown")
    if len(dict(found)) < len(found):
        raise RefusedError(400, "bad request: a parameter of the query comes twice")
    return dict(found)


def _number(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise RefusedError(400, f"bad request: query.{name} is no number")
    return int(text)


def _read(kind: type[W], body: bytes) -> W:
    """Read a body, whatever media type it claims to have; a message repeats nothing of it."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        field = ".".join(str(part) for part in ("body", *error.errors()[0]["loc"]))
        raise RefusedError(400, f"bad request: {field}") from None


def _add_errors(app: FastAPI) -> None:
    """Turn exceptions into the standard's errors; none repeats what arrived."""
    answers: dict[type[Exception], Callable[[Any], Response]] = {
        RefusedError: lambda error: (
            _problem(error.status, error.message)
            if error.message
            else Response(status_code=error.status)
        ),
        HTTPException: lambda _: _problem(400, "no such call"),
        Exception: lambda _: _problem(503, "error in the KME"),
    }
    for kind, answer in answers.items():
        app.add_exception_handler(kind, _handler(answer))


def _handler(answer: Callable[[Any], Response]) -> Any:
    async def handle(_request: Request, error: Exception) -> Response:
        return answer(error)

    return handle


def _delivered(keys: tuple[PoolKey, ...]) -> Response:
    """Write keys by hand: base64 has nothing to escape, and to look for it takes half the time."""
    entries = b",".join(
        b'{"key_ID":%s,"key":"%s"}'
        % (json.dumps(key.key_id).encode(), base64.b64encode(key.secret.reveal()))
        for key in keys
    )
    headers = {"Cache-Control": "no-store"}
    return Response(b'{"keys":[%s]}' % entries, headers=headers, media_type="application/json")


def _problem(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status)
