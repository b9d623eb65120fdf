"""A client of a KME: ETSI GS QKD 014 V1.1.1 over mutually authenticated TLS.

Delivery removes keys from the KME's pool and nothing is acknowledged: after a lost or bad answer
its keys are gone for this end, and whoever calls must not expect them to come again
(`fedket.keys.etsi014.agreement` keeps the two ends together).
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple
from urllib.parse import quote

import httpx

from fedket.keys.etsi014.answers import (
    DeliveredKey,
    Reply,
    read_chosen_keys,
    read_keys,
    read_status,
)
from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.errors import (
    KmeAnswerError,
    KmeCertificateError,
    KmeError,
    KmeUnreachableError,
)
from fedket.keys.etsi014.models import API, Call, KeyIdEntry, KeyIds, KeyRequest, Status, Wire
from fedket.keys.etsi014.seen import Seen
from fedket.keys.etsi014.tls import DEADLINE, client_context, explain_tls, tls_error_in

KEEP_ALIVE_S = 2.0
"""Idle connections are closed after this, before servers do (5 s is common)."""

PROSE_BYTES = 65536
"""Longest answer without keys; with keys their base64 and `ENTRY_BYTES` each come on top."""
ENTRY_BYTES = 1024


class Kme(NamedTuple):
    """The three calls, bound to one application and its KME; each raises `KmeError`.

    Attributes:
        status: peer SAE ID -> what the KME can deliver for the pair.
        enc_keys: (peer SAE ID, number, size in bits) -> new keys; this end is the master.
        dec_keys: (peer SAE ID, key IDs, size in bits) -> those keys, in that order; this end is
            the slave, the peer the master.
    """

    status: Callable[[str], Status]
    enc_keys: Callable[[str, int, int], tuple[DeliveredKey, ...]]
    dec_keys: Callable[[str, Sequence[str], int], tuple[DeliveredKey, ...]]


@contextmanager
def connect(config: SaeConfig) -> Iterator[Kme]:
    """Open a client; connections are made when the first call needs one.

    Raises:
        KmeCertificateError: Our own certificate, key or CA file is unusable.
    """
    seen = Seen()
    with open_http(config) as http:

        def status(peer: str) -> Status:
            where = place(config, "status", peer)
            answer = read_status(ask(http, config, "GET", "status", peer), where)
            check_names(answer, config, peer, where)
            return answer

        def enc_keys(peer: str, number: int, size_bits: int) -> tuple[DeliveredKey, ...]:
            body = KeyRequest(number=number, size=size_bits)
            limit = answer_limit(number, size_bits)
            reply = ask(http, config, "POST", "enc_keys", peer, body, limit)
            where = place(config, "enc_keys", peer)
            return seen.admit(read_keys(reply, where, number, size_bits), where)

        def dec_keys(peer: str, key_ids: Sequence[str], size_bits: int) -> tuple[DeliveredKey, ...]:
            body = KeyIds(key_IDs=[KeyIdEntry(key_ID=key_id) for key_id in key_ids])
            limit = answer_limit(len(key_ids), size_bits)
            reply = ask(http, config, "POST", "dec_keys", peer, body, limit)
            where = place(config, "dec_keys", peer)
            return seen.admit(read_chosen_keys(reply, where, key_ids, size_bits), where)

        yield Kme(status, enc_keys, dec_keys)


def open_http(config: SaeConfig) -> httpx.Client:
    """An HTTP client with our certificate; no proxies, no redirects, no environment variables.

    Raises:
        KmeCertificateError: Our own certificate, key or CA file is unusable.
    """
    return httpx.Client(
        base_url=config.kme_url,
        verify=client_context(config),
        timeout=config.timeout_s,
        limits=httpx.Limits(keepalive_expiry=KEEP_ALIVE_S),
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        trust_env=False,
        follow_redirects=False,
    )


def ask(
    http: httpx.Client,
    config: SaeConfig,
    method: Literal["GET", "POST"],
    call: Call,
    peer: str,
    body: Wire | None = None,
    limit: int = PROSE_BYTES,
) -> Reply:
    """Make one call and read its answer, whatever it says, within the configured time.

    Args:
        http: From `open_http`.
        config: Whose call it is.
        method: HTTP method.
        call: Last part of the path.
        peer: SAE ID in the path.
        body: JSON to send.
        limit: Longest answer in bytes.

    Raises:
        KmeCertificateError: TLS refused one side.
        KmeUnreachableError: No answer, or half of one.
        KmeAnswerError: The answer is too long or in no readable form.
    """
    where = place(config, call, peer)
    request = http.build_request(
        method,
        f"{API}/{quote(peer, safe='')}/{call}",
        content=None if body is None else body.model_dump_json(exclude_none=True),
        headers={} if body is None else {"Content-Type": "application/json"},
        extensions={"sni_hostname": config.server_name} if config.server_name else {},
    )
    end = DEADLINE.set(time.monotonic() + config.timeout_s)
    try:
        response = http.send(request, stream=True)
        try:
            content = _read_body(response, where, limit, config.timeout_s)
        finally:
            response.close()
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise _no_answer(error, where, config) from None
    finally:
        DEADLINE.reset(end)
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return Reply(response.status_code, media_type, response.headers.get("date", ""), content)


def place(config: SaeConfig, call: str, peer: str) -> str:
    """The beginning of every message: which KME, which call."""
    return f"KME {config.kme_url}, {call} of {config.sae_id} with {peer}"


def check_names(answer: Status, config: SaeConfig, peer: str, where: str) -> None:
    """Refuse a KME that is not the expected one, or takes us or the peer for somebody else.

    Raises:
        KmeAnswerError: A name differs.
    """
    expected = [
        ("source_KME_ID", answer.source_KME_ID, config.kme_id or answer.source_KME_ID, "kme_id"),
        ("master_SAE_ID", answer.master_SAE_ID, config.sae_id, "sae_id"),
        ("slave_SAE_ID", answer.slave_SAE_ID, peer, "peers"),
    ]
    for field, arrived, wanted, setting in expected:
        if arrived != wanted:
            raise KmeAnswerError(
                f"{where}: the KME says {field} is `{arrived}`, expected `{wanted}`; correct "
                f"`{setting}` or `kme_url`, or ask the KME's operator"
            )


def answer_limit(number: int, size_bits: int) -> int:
    """Longest acceptable answer in bytes with `number` keys of `size_bits` bits."""
    return PROSE_BYTES + number * (ENTRY_BYTES + math.ceil(size_bits / 6) + 4)


def _read_body(response: httpx.Response, where: str, limit: int, timeout_s: float) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise KmeAnswerError(f"{where}: the answer is compressed, which was not asked for")
    content = bytearray()
    for chunk in response.iter_raw():
        content += chunk
        if len(content) > limit:
            raise KmeAnswerError(
                f"{where}: the answer is longer than {limit} bytes, the rest is not read; check "
                "that `kme_url` leads to a KME"
            )
        if time.monotonic() > DEADLINE.get():
            raise KmeUnreachableError(
                f"{where}: the answer was not complete after {timeout_s:g} s; its keys are lost "
                "for this end, ask again later"
            )
    return bytes(content)


def _no_answer(error: Exception, where: str, config: SaeConfig) -> KmeError:
    tls = tls_error_in(error)
    if tls is not None:
        return KmeCertificateError(f"{where}: {explain_tls(tls)}")
    if isinstance(error, httpx.ConnectTimeout):
        return KmeUnreachableError(
            f"{where}: no connection within {config.timeout_s:g} s; check host, port and firewalls"
        )
    if isinstance(error, httpx.TimeoutException):
        return KmeUnreachableError(
            f"{where}: connected, but no answer within {config.timeout_s:g} s; keys of a late "
            "answer are lost for this end, ask again later"
        )
    if isinstance(error, httpx.ConnectError):
        return KmeUnreachableError(
            f"{where}: cannot connect ({_cause(error)}); is the KME running?"
        )
    return KmeUnreachableError(
        f"{where}: the connection broke before the answer was complete ({_cause(error)}); if this "
        "happens on every call, the KME may refuse our certificate"
    )


def _cause(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
