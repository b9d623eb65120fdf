"""A key manager of one link that answers as the least tolerant of others do, in what each is.

One 256-bit key per call, and no word of `number` or `size` (arnika's mock, GET-only devices); two
names, which it tells the other way round (arnika); keys are there once, and a new one throws away
the last that nobody fetched (next-door-key-simulator); the other end hears of a key a moment later,
and until then is told 401 (the same).
"""

import base64
import json
import os
import ssl
import threading
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STATUS = {
    **{"key_size": 256, "max_key_size": 256, "min_key_size": 256, "max_key_per_request": 1},
    **{"stored_key_count": 1, "max_key_count": 1, "source_KME_ID": "A", "target_KME_ID": "B"},
}
OTHER = {"CONSA": "CONSB", "CONSB": "CONSA"}


class _Call(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer({})

    def do_POST(self):
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, asked):
        parts = self.path.split("/")
        status, said = 404, {"message": "unknown SAE"}
        if parts[:4] == ["", "api", "v1", "keys"] and parts[4] in OTHER:
            with self.server.lock:
                status, said = getattr(self, parts[5])(parts[4], asked)
        content = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def status(self, peer, asked):
        return 200, STATUS | {"master_SAE_ID": peer, "slave_SAE_ID": OTHER[peer]}

    def enc_keys(self, peer, asked):
        if asked:
            return 400, {"message": f"unsupported: {sorted(asked)}"}
        key = {"key_ID": str(uuid.uuid4()), "key": base64.b64encode(os.urandom(32)).decode()}
        self.server.keys[peer] = key
        return 200, {"keys": [key]}

    def dec_keys(self, peer, asked):
        if len(asked["key_IDs"]) != 1:
            return 400, {"message": "only one key_ID is supported"}
        key = self.server.keys.get(OTHER[peer], {"key_ID": ""})
        if key["key_ID"] != asked["key_IDs"][0]["key_ID"]:
            return 404, {"message": "key not found"}
        self.server.late += 1
        if self.server.late <= 2:
            return 401, {"message": "not involved in any key exchanges"}
        del self.server.keys[OTHER[peer]]
        return 200, {"keys": [key]}

    def log_message(self, *_):
        pass


@contextmanager
def serving_link(certificate, key, ca):
    """Serve one link over mutual TLS; yields the URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Call)
    server.daemon_threads, server.keys, server.late = True, {}, 0
    server.lock = threading.Lock()
    lazily = {"server_side": True, "do_handshake_on_connect": False}
    server.socket = context.wrap_socket(server.socket, **lazily)
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
