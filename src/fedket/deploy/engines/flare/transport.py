"""TLS between processes, by FLARE's TCP driver, for networks that are not one's own.

FLARE's usual web sockets take a third of the processor time of a round of 10^6 values. Its TCP
driver shakes hands with one after the other, so that who connects and says nothing keeps all others
out, and waits for a link that was cut as long as the system does, which is a quarter of an hour.
"""

import logging
import socket
import ssl
import sys
from typing import Any

from nvflare.fuel.f3.drivers import tcp_driver
from nvflare.fuel.f3.drivers.net_utils import get_ssl_context
from nvflare.fuel.f3.drivers.socket_conn import SocketConnection

PATIENCE_S = 30.0
"""For a handshake, and for bytes that were sent to arrive."""

log = logging.getLogger(__name__)


def install() -> None:
    """Let FLARE's TCP driver listen and connect as is done here."""
    tcp_driver.TcpStreamServer = Listener
    tcp_driver.TcpDriver.connect = connect


class Listener(tcp_driver.TcpStreamServer):  # type: ignore[misc]
    """Shakes hands with each who connects in a thread of that connection."""

    daemon_threads = True

    def server_activate(self) -> None:
        """Listen."""
        if isinstance(self.socket, ssl.SSLSocket):
            self.socket.do_handshake_on_connect = False  # type: ignore[attr-defined]
        super().server_activate()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection."""
        request.settimeout(PATIENCE_S)
        if isinstance(request, ssl.SSLSocket):
            request.do_handshake()
        super().finish_request(_watched(request), client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Note why there is no connection."""
        log.warning("no connection with %s: %s", client_address[0], sys.exc_info()[1])


def connect(driver: Any, connector: Any) -> None:
    """Connect, and read until the connection ends."""
    params = connector.params
    driver.connector, context = connector, get_ssl_context(params, ssl_server=False)
    sock = socket.create_connection((params["host"], int(params["port"])), timeout=PATIENCE_S)
    if context:
        sock = context.wrap_socket(sock)
    connection = SocketConnection(_watched(sock), connector, bool(context))
    driver.add_connection(connection)
    connection.read_loop()
    driver.close_connection(connection)


def _watched(sock: Any) -> Any:
    """Have a connection end once what was sent does not arrive."""
    sock.settimeout(None)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * PATIENCE_S))
    return sock
