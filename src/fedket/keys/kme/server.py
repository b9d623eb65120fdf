"""Serving KMEs over mutually authenticated TLS, one port each.

uvicorn does not tell applications who their TLS peer is, so that a subclass of its HTTP protocol
puts the verified client certificate into each request's state.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Thread
from typing import NamedTuple

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from fedket.keys.etsi014.errors import KmeError
from fedket.keys.etsi014.tls import load_identity
from fedket.keys.kme.app import create_app
from fedket.keys.kme.config import KmeSection
from fedket.keys.kme.door import App
from fedket.keys.kme.pools import KeyPools

REQUEST_S = 10.0
"""Seconds in which a request has to arrive, from the connection or the answer before it on."""

GRACE_S = 1
"""Seconds that requests have to end when the server stops."""

POLL_S = 0.01

Application = Callable[[KmeSection, KeyPools], App]


class Serving(NamedTuple):
    """Key managers at work.

    Attributes:
        urls: KME ID -> `https://HOST:PORT`.
        thread: Where they work; it ends early only if something is badly wrong.
    """

    urls: dict[str, str]
    thread: Thread


class PeerProtocol(H11Protocol):
    """HTTP/1.1 that knows its TLS peer, and hangs up on one that does not finish its request."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note the peer's certificate, which the handshake has verified."""
        super().connection_made(transport)
        tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True)
        self.app_state = {**self.app_state, "peer_certificate": certificate}
        # asyncio does so only where the socket knows its protocol; else answers take 40 ms more
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        if self._late is not None:
            self._late.cancel()

    def _watch(self) -> None:
        """Give a request that has not all come its deadline; later pieces do not move it."""
        unfinished = self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        if unfinished and self._late is None:
            self._late = self.loop.call_later(REQUEST_S, self.transport.abort)
        elif not unfinished and self._late is not None:
            self._late.cancel()
            self._late = None


@contextmanager
def serving(pools: KeyPools, application: Application = create_app) -> Iterator[Serving]:
    """Serve all KMEs that share pools, in a thread, until the block ends.

    Args:
        pools: The keys, and the configuration.
        application: (KME, pools) -> what answers its requests.

    Raises:
        KmeCertificateError: A KME's certificate, key or CA file is unusable.
        KmeError: A port is taken.
    """
    with ExitStack() as stack:
        kmes = pools.config.kme
        contexts = [server_context(kme) for kme in kmes]
        sockets = [stack.enter_context(_listen(kme)) for kme in kmes]
        servers = [
            _Server(application(kme, pools), context, listener)
            for kme, context, listener in zip(kmes, contexts, sockets, strict=True)
        ]
        urls = {kme.id: _url(kme, s) for kme, s in zip(kmes, sockets, strict=True)}
        thread = Thread(target=lambda: asyncio.run(_serve_all(servers)), daemon=True)
        thread.start()
        try:
            for server in servers:
                server.wait_until_started(thread)
            yield Serving(urls, thread)
        finally:
            for server in servers:
                server.should_exit = True
            thread.join()


def server_context(kme: KmeSection) -> ssl.SSLContext:
    """TLS settings of a KME: its own identity, and a certificate demanded from every client.

    Raises:
        KmeCertificateError: See `load_identity`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    load_identity(context, kme.ca, kme.certificate, kme.key)
    return context


class _Server(uvicorn.Server):
    """A uvicorn server on a listening socket, with a TLS context of our own."""

    def __init__(self, app: App, context: ssl.SSLContext, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            http=PeerProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        config.load()
        config.ssl = context
        super().__init__(config)
        self.listener = listener

    def wait_until_started(self, thread: Thread) -> None:
        while not self.started and thread.is_alive():
            time.sleep(POLL_S)


async def _serve_all(servers: Sequence[_Server]) -> None:
    await asyncio.gather(*(server.serve([server.listener]) for server in servers))


def _listen(kme: KmeSection) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in kme.host else socket.AF_INET
        return socket.create_server((kme.host, kme.port), family=family)
    except OSError as error:
        raise KmeError(
            f"KME {kme.id} cannot listen on {kme.host}:{kme.port}: {error.strerror or error}; "
            "choose another `port` (0 takes a free one) or `host`"
        ) from None


def _url(kme: KmeSection, listener: socket.socket) -> str:
    host = f"[{kme.host}]" if ":" in kme.host else kme.host
    return f"https://{host}:{listener.getsockname()[1]}"
