"""A key provider behind TLS with a pre-shared key: one thread, one connection after the other."""

import json
import ssl
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit

CAPABILITIES = {"key": True, "localSystemID": "alice", "remoteSystemID": ["bob"]}


class _Provider(BaseHTTPRequestHandler):
    def do_GET(self):
        parts = urlsplit(self.path)
        said = CAPABILITIES
        if parts.path == "/key":
            assert dict(parse_qsl(parts.query)) == {"remoteSystemID": "bob"}
            said = {"keyId": "00ff", "key": "ab" * 32}
        content = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextmanager
def providing(identity, psk):
    """Serve whoever has the key; yields the URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("kECDHEPSK:kDHEPSK")
    context.set_psk_server_callback(lambda said: psk if said == identity else b"", "hint")
    server = HTTPServer(("127.0.0.1", 0), _Provider)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        with suppress(OSError):
            server.shutdown()
        server.server_close()
        thread.join()
