"""A small read-only web server for people and machines that watch: GET, from memory, nothing else.

It serves what callables return, so no path reaches a file. It answers only to the names it was
started under, so that a web page elsewhere cannot have a browser read it (DNS rebinding).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from socket import AF_INET6
from threading import Thread
from typing import NamedTuple
from urllib.parse import urlsplit

from fedket.errors import ConfigError

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LOOPBACK = ("localhost", "127.0.0.1", "::1")


ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what an operator may ask for
"""Addresses of all networks: then any name will do."""


class Content(NamedTuple):
    """What a path answers.

    Attributes:
        kind: Media type.
        body: The content.
        refresh_s: Seconds after which a browser asks again, or 0.
    """

    kind: str
    body: str
    refresh_s: int = 0


Routes = Mapping[str, Callable[[], Content]]


@contextmanager
def serving(routes: Routes, host: str, port: int) -> Iterator[str]:
    """Serve from a thread until the block ends; returns the URL.

    Args:
        routes: Path -> what it answers.
        host: An address of this machine, or a name of one.
        port: 0 takes a free one.

    Raises:
        ConfigError: The port is taken, or the address is not this machine's.
    """
    names = {host.lower(), *(LOOPBACK if _is_loopback(host) else ())}
    try:
        server = _server(host)((host, port), _handler(routes, set() if host in ANY else names))
    except OSError as error:
        raise ConfigError(f"cannot listen on {host} port {port}: {error.strerror}") from None
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def _server(host: str) -> type[ThreadingHTTPServer]:
    class Server(ThreadingHTTPServer):
        address_family = AF_INET6 if ":" in host else ThreadingHTTPServer.address_family

    return Server


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _name_in(header: str) -> str:
    """The name that a browser was told, of a `Host` header; nothing if it is none."""
    with suppress(ValueError):
        return (urlsplit(f"//{header}").hostname or "").lower()
    return ""


def _handler(routes: Routes, names: set[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version, timeout = "fedket", "", 10

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if names and _name_in(self.headers.get("Host", "")) not in names:
                self._answer(HTTPStatus.MISDIRECTED_REQUEST, Content("text/plain", "another host"))
            elif path not in routes:
                self._answer(HTTPStatus.NOT_FOUND, Content("text/plain", "nothing here"))
            else:
                try:
                    self._answer(HTTPStatus.OK, routes[path]())
                except Exception as error:  # the next one may do better
                    said = Content("text/plain", f"{type(error).__name__}: {error}", 5)
                    self._answer(HTTPStatus.SERVICE_UNAVAILABLE, said)

        def _answer(self, status: HTTPStatus, content: Content) -> None:
            body = content.body.encode()
            self.send_response(status)
            refresh = {"Refresh": str(content.refresh_s)} if content.refresh_s else {}
            kind = {"Content-Type": f"{content.kind}; charset=utf-8"}
            for name, value in (HEADERS | kind | refresh).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing for each request."""

    return Handler
