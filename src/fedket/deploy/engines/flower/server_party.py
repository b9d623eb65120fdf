"""The server's process: what nodes ask, and the run that an administrator starts."""

import asyncio
import json
import os
import secrets
import ssl
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from threading import Event, Lock, Thread, Timer
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from starlette.concurrency import run_in_threadpool

from fedket.deploy.engines.flower import letters
from fedket.deploy.engines.flower.door import Door
from fedket.deploy.engines.flower.kits import CERTIFICATE, KEY, ROOT, Kit
from fedket.deploy.engines.flower.superlink import SuperLink
from fedket.deploy.engines.flower.wire import PEER_S
from fedket.deploy.files import FEDERATION, PROBLEM, own_files, read_federation, seats_of
from fedket.deploy.identity.authority import COORDINATOR, OBSERVER, SERVER, SITE
from fedket.deploy.identity.departed import MEMBERS
from fedket.deploy.identity.kits import keep_list
from fedket.deploy.messages import checked, failure_of
from fedket.deploy.operating.news import now
from fedket.deploy.operating.state import STOPPED, read_look
from fedket.deploy.run import ServerParts, run_federation
from fedket.deploy.statistics import run_statistics
from fedket.deploy.terminal import at_terminal
from fedket.errors import ConfigError, FedketError, ProtocolError
from fedket.files import write_atomic
from fedket.keys.etsi014.errors import PeerSilentError
from fedket.secure.phases import Failure, Outcome, Payload, Reply

PEERS = 64
"""Questions about links that are on their way at the same time."""

PURPOSES: dict[str, Callable[..., object]] = {
    "run": run_federation,
    "statistics": run_statistics,
}
"""What a coordinator may begin."""

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def serve(kit: Kit, folder: Path) -> None:
    """Serve sites, coordinators and observers until the process is ended, by any signal.

    Raises:
        ConfigError: The port cannot be listened on.
    """
    own = own_files(folder)

    def sites() -> frozenset[str]:
        listed = own / MEMBERS
        return _present(own, listed.stat().st_mtime_ns if listed.exists() else 0)

    party = ServerParty(own, Door((kit.folder / ROOT).read_bytes(), sites))
    # In a thread uvicorn takes no signals: it would wait for those connected.
    served = uvicorn.Server(web(kit, party.app()))
    thread = Thread(target=served.run, daemon=True)
    thread.start()
    thread.join()
    raise ConfigError(f"nothing can listen on port {kit.port}; another process may do so")


@lru_cache(maxsize=1)
def _present(own: Path, _: int) -> frozenset[str]:
    """Names of the sites that have not left; read again when the list was written again."""
    file = read_federation(own / FEDERATION)
    return frozenset(file.sites[i] for i in seats_of(file))


def web(kit: Kit, app: FastAPI) -> uvicorn.Config:
    """Return how a server's kit serves: with TLS of both sides, and only here if so it says."""
    everywhere = "::" if ":" in kit.hosts[0] else "0.0.0.0"  # noqa: S104 - sites are elsewhere
    return uvicorn.Config(
        app,
        host=kit.hosts[0] if set(kit.hosts) <= LOOPBACK else everywhere,
        port=kit.port,
        ssl_certfile=str(kit.folder / CERTIFICATE),
        ssl_keyfile=str(kit.folder / KEY),
        ssl_ca_certs=str(kit.folder / ROOT),
        ssl_cert_reqs=ssl.CERT_REQUIRED,
        ws="none",
        loop="asyncio",
        timeout_keep_alive=60,  # longer than a client's 5 s, or one asks as the other closes
        timeout_graceful_shutdown=1,
        lifespan="off",
        log_level="warning",
        access_log=False,
    )


class ServerParty:
    """The server: one run at a time, started by a coordinator.

    Args:
        folder: Holds `federation.toml` and what it names.
        door: Knows who may come.
    """

    def __init__(self, folder: Path, door: Door) -> None:
        self._folder, self._door, self._link = folder, door, SuperLink(door.sites)
        self._names: tuple[str, ...] = ()
        self._keys: Any = None
        # Apart from the threads that serve nodes: whoever waits for a node must not keep it out.
        self._waiting = ThreadPoolExecutor(PEERS)
        self._lock, self._status, self._run_id, self._purpose = Lock(), "idle", "", ""

    def app(self) -> FastAPI:
        """Return what is served."""
        app = self._link.app()
        app.post("/fedket/enrol")(self._enrol)
        app.post("/fedket/peer/{name}")(self._peer)
        for action, answer in (
            ("run", self._run),
            ("status", self._tell),
            ("look", self._look),
            ("stop", self._stop),
            ("take", self._take),
        ):
            app.post(f"/fedket/{action}")(answer)
        return app

    async def _enrol(self, request: Request) -> dict[str, Any]:
        """Let a process in for which a party's certificate vouches."""
        caller = await self._door.enrol(request)
        node = self._link.admit(caller.name, caller.public_key) if caller.role == SITE else 0
        return {"node": node}

    async def _peer(self, name: str, request: Request) -> Response:
        """Carry a site's question about a link to the other end, and the answer back."""
        caller = await self._door.caller(request, SITE)
        try:
            asked = letters.read_request(letters.from_bytes(await request.body()))
        except ProtocolError as error:
            raise HTTPException(400, f"{error}") from None
        outcome = await asyncio.get_running_loop().run_in_executor(
            self._waiting, self._ask_party, name, asked._replace(caller=caller)
        )
        return Response(letters.to_bytes(letters.write_outcome(outcome)))

    async def _run(self, request: Request) -> dict[str, Any]:
        """Begin the run, or go on with it; nothing where it runs."""
        await self._door.caller(request, COORDINATOR)
        purpose = await _field(request, "purpose")
        if purpose not in PURPOSES:
            raise HTTPException(400, f"nothing is done for {purpose!r:.40}")
        with self._lock:
            if self._status == "running" and self._purpose != purpose:
                raise HTTPException(409, f"it is busy with: {self._purpose}; ask when that is over")
            if self._status != "running":
                self._status, self._run_id = "running", secrets.token_hex(8)
                self._purpose = purpose
                Thread(target=self._rounds, args=(PURPOSES[purpose],), daemon=True).start()
        return await self._tell(request)

    async def _tell(self, request: Request) -> dict[str, Any]:
        """How the run is doing, and who is there."""
        await self._door.caller(request, COORDINATOR, OBSERVER)
        stopped = read_look(self._folder, 0).stopped
        here = sorted(self._link.connected())
        return {"status": self._status, "run": self._run_id, "connected": here, "stopped": stopped}

    async def _look(self, request: Request) -> dict[str, Any]:
        """What the server's files say of the run."""
        await self._door.caller(request, COORDINATOR, OBSERVER)
        return read_look(self._folder).model_dump(mode="json")

    async def _stop(self, request: Request) -> dict[str, Any]:
        """End the run, and note who did, so that nobody starts it again by itself."""
        by = await self._door.caller(request, COORDINATOR)
        running = self._status == "running"
        if running:
            said = {"job": self._run_id, "by": by, "when": now()}
            write_atomic(self._folder / STOPPED, json.dumps(said) + "\n")
            Timer(0.2, _begin_anew).start()
        return {"stopped": running}

    async def _take(self, request: Request) -> dict[str, Any]:
        """Keep a newer list of members: whoever has left is answered nothing from now on."""
        await self._door.caller(request, COORDINATOR)
        try:
            await run_in_threadpool(keep_list, self._folder, await _field(request, "members"))
        except FedketError as error:
            raise HTTPException(400, f"{error}") from None
        return {}

    def _rounds(self, hold: Callable[..., object]) -> None:
        problem = self._folder / PROBLEM
        problem.unlink(missing_ok=True)
        try:
            hold(self._folder, self._parts)
            self._status = "finished"
        except FedketError as error:
            problem.write_text(f"{error}\n", encoding="utf-8")
            self._status = f"failed: {error}"
        except BaseException as error:
            self._status = f"failed: {type(error).__name__}"
            raise

    def _parts(self, names: tuple[str, ...]) -> ServerParts:
        self._names = names

        def call(
            site: int, action: str, payload: Payload, seconds: float, abandoned: Event
        ) -> Outcome:
            asked = letters.Request(SERVER, action, payload)
            return self._link.ask(names[site], letters.PHASE, asked, seconds, abandoned)

        def ask_peer(party: int, action: str, payload: Payload) -> Payload:
            asked = letters.Request(SERVER, action, payload)
            outcome = self._link.ask(names[party], letters.PEER, asked, PEER_S)
            if isinstance(outcome, Failure):
                raise PeerSilentError(outcome.reason)
            return outcome.payload

        here = frozenset(names.index(n) for n in self._link.connected() if n in names)
        return ServerParts(call, here, ask_peer, self._share_keys, at_terminal)

    def _ask_party(self, name: str, asked: letters.Request) -> Outcome:
        """Ask the server itself, or a site, on behalf of a site."""
        if name in self._names and asked.caller in self._names:
            return self._link.ask(name, letters.PEER, asked, PEER_S)
        if name != SERVER or asked.caller not in self._names or self._keys is None:
            return Failure(f"{name} is not reached from {asked.caller} yet")
        try:
            party = self._names.index(asked.caller)
            return Reply(self._keys.answer(party, asked.action, checked(dict(asked.payload))))
        except Exception as error:  # the site names it
            return failure_of(error)

    def _share_keys(self, keys: Any) -> None:
        self._keys = keys


async def _field(request: Request, name: str) -> str:
    """Return a field of what a coordinator says; empty where there is none."""
    try:
        said = await request.json()
        return f"{said[name]}"
    except (ValueError, KeyError, TypeError):
        return ""


def _begin_anew() -> None:
    """Start this process again: its run ends as when it is killed, which costs a round at most."""
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - ourselves
