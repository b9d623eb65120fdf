"""One key manager as a web application: the paths and errors of ETSI GS QKD 014 V1.1.1.

Its only errors are 400 and 503 with a message and 401 without a body. The calling SAE is who its
TLS certificate says; `fedket.keys.kme.server` puts that certificate into the request's state.
"""

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from fedket.keys.etsi014.models import API, KEYS_NOT_FOUND, Call, KeyIds, KeyRequest, Status
from fedket.keys.kme.config import KmeSection, Limits
from fedket.keys.kme.door import Door
from fedket.keys.kme.faults import InsteadError, Spoiler, has, misbehave
from fedket.keys.kme.pools import (
    Network,
    NotYourKeyError,
    PoolKey,
    ShortageError,
    UnknownKeyError,
)
from fedket.keys.kme.service import (
    BadRequestError,
    UnauthorizedError,
    get_keys,
    get_keys_by_id,
    get_status,
    sae_of,
)


def create_app(kme: KmeSection, network: Network) -> FastAPI:
    """Build the application of one KME of a network."""
    app = FastAPI(title=f"KME {kme.id} (simulated keys)", openapi_url=None)
    app.add_middleware(Door, clock_offset_s=lambda: network.faults.clock_offset_s)
    _add_errors(app, network.config.limits)
    _add_calls(app, kme, network)
    return app


def _add_calls(app: FastAPI, kme: KmeSection, network: Network) -> None:
    spoiler = Spoiler()

    async def caller(request: Request) -> str:
        return sae_of(getattr(request.state, "peer_certificate", None), kme)

    async def other(sae_id: str) -> str:
        return unquote(sae_id)

    Caller = Annotated[str, Depends(caller)]
    Other = Annotated[str, Depends(other)]

    def faulty(call: Call) -> Any:
        async def check(request: Request, _me: Caller) -> None:
            await misbehave(network, call, request)

        return Depends(check)

    def answer(call: Call, keys: tuple[PoolKey, ...], request: Request) -> Response:
        if has(network.faults, call, "drop_reply"):
            request.state.transport.abort()
        entries = spoiler.entries(keys, network.faults, call)
        return JSONResponse({"keys": entries}, headers={"Cache-Control": "no-store"})

    @app.get(API + "/{sae_id}/status", dependencies=[faulty("status")])
    async def status(me: Caller, slave: Other) -> Status:
        wrong = has(network.faults, "status", "wrong_kme_id")
        return get_status(network, f"not-{kme.id}" if wrong else kme.id, me, slave)

    @app.get(API + "/{sae_id}/enc_keys", dependencies=[faulty("enc_keys")])
    async def enc_keys(
        request: Request, me: Caller, slave: Other, number: int = 1, size: int | None = None
    ) -> Response:
        asked = KeyRequest(number=number, size=size)
        return answer("enc_keys", get_keys(network, me, slave, asked), request)

    @app.post(API + "/{sae_id}/enc_keys", dependencies=[faulty("enc_keys")])
    async def post_enc_keys(
        request: Request, me: Caller, slave: Other, asked: KeyRequest
    ) -> Response:
        return answer("enc_keys", get_keys(network, me, slave, asked), request)

    @app.get(API + "/{sae_id}/dec_keys", dependencies=[faulty("dec_keys")])
    async def dec_keys(request: Request, me: Caller, master: Other, key_ID: str) -> Response:
        return answer("dec_keys", get_keys_by_id(network, me, master, [key_ID]), request)

    @app.post(API + "/{sae_id}/dec_keys", dependencies=[faulty("dec_keys")])
    async def post_dec_keys(request: Request, me: Caller, master: Other, ids: KeyIds) -> Response:
        key_ids = [entry.key_ID for entry in ids.key_IDs]
        return answer("dec_keys", get_keys_by_id(network, me, master, key_ids), request)


def _add_errors(app: FastAPI, limits: Limits) -> None:
    """Turn exceptions into the standard's errors; none repeats what arrived."""
    shortage = limits.shortage_status
    answers: dict[type[Exception], Callable[[Any], Response]] = {
        BadRequestError: lambda error: _problem(400, str(error)),
        RequestValidationError: lambda error: _problem(400, f"bad request: {_where(error)}"),
        UnknownKeyError: lambda _: _problem(400, KEYS_NOT_FOUND),
        ShortageError: lambda _: _problem(shortage, "not enough keys are stored"),
        UnauthorizedError: lambda _: Response(status_code=401),
        NotYourKeyError: lambda _: Response(status_code=401),
        HTTPException: lambda _: _problem(400, "no such call"),
        InsteadError: lambda error: error.response,
        Exception: lambda _: _problem(503, "error in the KME"),
    }
    for kind, answer in answers.items():
        app.add_exception_handler(kind, _handler(answer))


def _handler(answer: Callable[[Any], Response]) -> Any:
    async def handle(_request: Request, error: Exception) -> Response:
        return answer(error)

    return handle


def _problem(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status)


def _where(error: RequestValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(str(part) for part in problem['loc'])} ({problem['type']})"
