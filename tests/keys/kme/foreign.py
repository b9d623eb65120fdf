"""Key managers of other people: our own behind a translator with their ways of speaking.

Each is what some KME does that is not ours, read in its source or seen on the wire.
"""

import base64
import json
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from fedket.keys.kme.app import create_app


class Ways(NamedTuple):
    """How a KME differs from ours.

    Attributes:
        prefix: What its paths begin with.
        methods: Those it takes for key calls.
        success: Its status code instead of 200.
        media_type: Of its answers.
        mark: Bytes before its answers.
        status: Changes of its status; None leaves a field out.
        entry: (key ID, key) -> an entry of its key containers.
        bare: Whether they are bare lists.
        one: Whether it takes neither `number` nor `size`.
        strings: Whether it wants key IDs as strings.
        short: (HTTP status, body) of the first calls for new keys.
        late: (HTTP status, body) of the first call for known keys.
    """

    prefix: str = ""
    methods: tuple[str, ...] = ("POST", "GET")
    success: int = 200
    media_type: str = "application/json"
    mark: bytes = b""
    status: Mapping[str, Any] = MappingProxyType({})
    entry: Any = None
    bare: bool = False
    one: bool = False
    strings: bool = False
    short: tuple[tuple[int, bytes], ...] = ()
    late: tuple[tuple[int, bytes], ...] = ()


class Foreign:
    """Speaks for our KMEs; the ways are set from test to test."""

    ways = Ways()

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def be(self, ways: Ways) -> None:
        self.ways = ways
        self.calls.clear()

    def application(self, kme, pools):
        app = create_app(kme, pools)

        async def foreign(scope, receive, send):
            if scope["type"] == "http":
                await self._serve(app, scope, receive, send)

        return foreign

    async def _serve(self, app, scope, receive, send):
        path = scope["raw_path"].decode()
        call = path.rpartition("/")[2]
        body = (await receive()).get("body", b"")
        refusal = self._refusal(call, path, scope["method"], body, scope["query_string"])
        if refusal is not None:
            return await self._send(send, *refusal)
        asked = self._as_we_ask(call, scope, body)
        answer: dict[str, Any] = {"body": b""}

        async def again():
            return {"type": "http.request", "body": asked["body"]}

        async def collect(message):
            answer["body"] += message.get("body", b"")
            answer["status"] = message.get("status", answer.get("status"))

        await app(asked["scope"], again, collect)
        content, status = answer["body"], answer["status"]
        if status == 200:
            content, status = self._as_they_answer(call, json.loads(content)), self.ways.success
        return await self._send(send, status, content)

    def _refusal(self, call, path, method, body, query):
        ways, self.calls[call] = self.ways, self.calls[call] + 1
        if not path.startswith(f"{ways.prefix}/api/"):
            return 404, b"<html>no such page</html>"
        if call != "status" and method not in ways.methods:
            return 405, b'{"message": "Method not allowed"}'
        if call == "enc_keys":
            if ways.one and (b"number" in body + query or b"size" in body + query):
                return 400, b'{"message": "one size, one key"}'
            if self.calls[call] <= len(ways.short):
                return ways.short[self.calls[call] - 1]
        if call == "dec_keys" and self.calls[call] <= len(ways.late):
            return ways.late[self.calls[call] - 1]
        return None

    def _as_we_ask(self, call, scope, body):
        path = scope["raw_path"].decode()[len(self.ways.prefix) :]
        query = dict(parse_qsl(scope["query_string"].decode()))
        if call == "dec_keys" and self.ways.strings:
            ids = json.loads(body)["key_IDs"]
            assert all(isinstance(key_id, str) for key_id in ids)
            body = json.dumps({"key_IDs": [{"key_ID": key_id} for key_id in ids]}).encode()
        changed = {"raw_path": path.encode(), "query_string": urlencode(query).encode()}
        headers = [h for h in scope["headers"] if h[0] != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        return {"scope": {**scope, **changed, "headers": headers}, "body": body}

    def _as_they_answer(self, call, answer):
        if call == "status":
            answer = {k: v for k, v in (answer | dict(self.ways.status)).items() if v is not None}
        elif self.ways.entry is not None:
            answer["keys"] = [self.ways.entry(k["key_ID"], k["key"]) for k in answer["keys"]]
        if call != "status" and self.ways.bare:
            answer = answer["keys"]
        return self.ways.mark + json.dumps(answer).encode()

    async def _send(self, send, status, content):
        headers = [(b"content-length", str(len(content)).encode())]
        if self.ways.media_type:
            headers.append((b"content-type", self.ways.media_type.encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def in_hex(key_id, key):
    return {"keyId": key_id.upper(), "key": base64.b64decode(key).hex()}


def unpadded(key_id, key):
    return {"key_id": key_id.replace("-", ""), "key": key.rstrip("=").replace("/", "_")}


SILENT = {"target_KME_ID": None, "max_SAE_ID_count": None, "stored_key_count": None}
NUMBERS = {"source_KME_ID": 1, "target_KME_ID": 2, "key_size": "256", "max_key_per_request": "8"}
SAYS_NOTHING = dict.fromkeys(
    ("master_SAE_ID", "slave_SAE_ID", "source_KME_ID", "max_key_count", "min_key_size"), None
)

FOREIGN: dict[str, tuple[Ways, dict[str, Any]]] = {
    "behind a proxy, created, with a mark": (
        Ways("/qkd/7", success=201, media_type="text/plain", mark=b"\xef\xbb\xbf", status=SILENT),
        {"kme_url": "{}/qkd/7"},
    ),
    "numbers for names, capitals": (
        Ways(status=NUMBERS | {"master_SAE_ID": "ALICE"}, media_type="application/vnd.kme+json"),
        {"kme_id": ""},
    ),
    "GET only, one key of one size": (
        Ways(methods=("GET",), one=True, entry=unpadded, status={"max_key_per_request": 1}),
        {"method": "GET", "key_bits": 256},
    ),
    "one key of one size, the pair the other way round": (
        Ways(
            one=True,
            status={
                "max_key_per_request": 1,
                "max_key_size": 256,
                "min_key_size": 256,
                "master_SAE_ID": "Bob",
                "slave_SAE_ID": "Alice",
            },
        ),
        {"kme_id": ""},
    ),
    "POST only, strings, hexadecimal, bare lists": (
        Ways(methods=("POST",), strings=True, entry=in_hex, bare=True, media_type=""),
        {"key_ids": "strings"},
    ),
    "says next to nothing, one key per call": (
        Ways(one=True, status=SAYS_NOTHING | SILENT | {"max_key_size": None}),
        {"keys_per_call": 1},
    ),
    "short of keys in every way": (
        Ways(
            short=(
                *((404, b"no keys"), (429, b""), (500, b"<html>"), (502, b""), (504, b"")),
                *((204, b""), (200, b'{"keys": []}'), (400, b'{"detail": "0 keys remaining"}')),
            )
        ),
        {},
    ),
    "hears of keys a second later": (
        Ways(
            late=(
                *((404, b'{"message": "key not found"}'), (400, b'{"message": "unknown"}')),
                (401, b'{"message": "not involved in any key exchange"}'),
            )
        ),
        {},
    ),
}
"""Name -> (how the KME differs, what its applications set)."""
