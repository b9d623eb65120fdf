"""A KME of one 256-bit key per call that takes 5 ms for it, and next to nothing of the processor.

So that what is measured is its clients: a key is the hash of its name, and what a call asks for is
not looked at. It serves one call at a time, in the order in which they come.
"""

import asyncio
import base64
import hashlib
import json
import re
import ssl
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from fedket.keys.etsi014.tls import load_identity
from fedket.keys.kme.config import KmeConfig
from fedket.schema import read_table

KEY_BITS, CALL_S = 256, 0.005
LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)
ONE = {"key_size": KEY_BITS, "min_key_size": KEY_BITS, "max_key_size": KEY_BITS}
STATUS = {**ONE, "stored_key_count": 10**6, "max_key_count": 10**6, "max_key_per_request": 1}


def serve(path: Path, parallel: bool) -> None:
    """Serve the KMEs of a configuration until standard input closes."""
    asyncio.run(_serve(read_table(path, KmeConfig), parallel))


async def _serve(config: KmeConfig, parallel: bool) -> None:
    for kme in config.kme:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        load_identity(context, kme.ca, kme.certificate, kme.key)
        await asyncio.start_server(_Kme(parallel).answer_all, kme.host, kme.port, ssl=context)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)


class _Kme:
    def __init__(self, parallel: bool) -> None:
        self._parallel, self._free_at = parallel, 0.0

    async def answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the calls of a connection."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                call = head.split(b" ", 2)[1].rpartition(b"/")[2]
                if call != b"status":
                    await self._turn()
                said = json.dumps(_answer(call, body)).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
                writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(said), said))
                await writer.drain()
        writer.close()

    async def _turn(self) -> None:
        """Wait for this call's 5 ms to be over; a late timer does not delay the calls behind it."""
        now = asyncio.get_running_loop().time()
        self._free_at = CALL_S + (now if self._parallel else max(self._free_at, now))
        await asyncio.sleep(self._free_at - now)


def _answer(call: bytes, body: bytes) -> dict[str, Any]:
    if call == b"status":
        return STATUS
    asked = json.loads(body)["key_IDs"] if call == b"dec_keys" else [{"key_ID": str(uuid.uuid4())}]
    named = [entry["key_ID"] for entry in asked]
    keys = [base64.b64encode(hashlib.sha256(name.encode()).digest()).decode() for name in named]
    return {"keys": [{"key_ID": name, "key": key} for name, key in zip(named, keys, strict=True)]}
