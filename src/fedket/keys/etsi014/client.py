"""A client of a KME: ETSI GS QKD 014 V1.1.1 over mutually authenticated TLS.

Delivery removes keys from the KME's pool and nothing is acknowledged: after a lost or bad answer
its keys are gone for this end, and whoever calls must not expect them to come again
(`fedket.keys.etsi014.agreement` keeps the two ends together).

What a request may leave out is left out: servers of one size refuse even their own.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import Any, Literal, NamedTuple
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
from fedket.keys.etsi014.models import API, Call, Status
from fedket.keys.etsi014.seen import Seen
from fedket.keys.etsi014.sizing import MOST_KEYS
from fedket.keys.etsi014.tls import DEADLINE, client_context, explain_tls, tls_error_in

KEEP_ALIVE_S = 2.0
"""Idle connections are closed after this, before servers do (5 s is common)."""

PROSE_BYTES = 65536
"""Longest answer without keys; with keys their base64 and `ENTRY_BYTES` each come on top."""
ENTRY_BYTES = 1024


class Kme(NamedTuple):
    """The three calls, bound to one application and its KME; each raises `KmeError`.

    All may be made from several threads.

    Attributes:
        status: peer SAE ID -> what the KME can deliver for the pair.
        enc_keys: (peer SAE ID, number, size in bits) -> up to so many new keys; this end is the
            master.
        dec_keys: (peer SAE ID, key IDs, size in bits) -> those keys, in that order; this end is
            the slave, the peer the master.
        connections: Calls that may be under way at the same time.
        most_named: Most keys that one `dec_keys` may name.
    """

    status: Callable[[str], Status]
    enc_keys: Callable[[str, int, int], tuple[DeliveredKey, ...]]
    dec_keys: Callable[[str, Sequence[str], int], tuple[DeliveredKey, ...]]
    connections: int = 1
    most_named: int = MOST_KEYS


@contextmanager
def connect(config: SaeConfig) -> Iterator[Kme]:
    """Open a client; connections are made when the first call needs one.

    Raises:
        KmeCertificateError: Our own certificate, key or CA file is unusable.
        ConfigError: The file of a link with a KME of its own is bad.
    """
    from fedket.keys.etsi014.links import by_peer, link_configs
    from fedket.keys.etsi014.skip import skip_calls  # both make calls as this module does

    with ExitStack() as stack:
        own = link_configs(config)
        http = stack.enter_context(open_http(config))
        calls = skip_calls if config.protocol == "skip" else etsi_calls
        kme = calls(http, config, Seen())
        ends = {
            peer: (stack.enter_context(connect(link)), link.peers[0]) for peer, link in own.items()
        }
        yield by_peer(kme, ends) if ends else kme


def etsi_calls(http: httpx.Client, config: SaeConfig, seen: Seen) -> Kme:
    """The calls of a KME, bound to one application."""
    usual_bits: dict[str, int] = {}

    def ask(call: Call, peer: str, asked: Mapping[str, Any], num_bits: int = 0) -> Reply:
        path, where = f"{API}/{quote(peer, safe='')}/{call}", place(config, call, peer)
        limit = PROSE_BYTES + ENTRY_BYTES + math.ceil(num_bits / 6)
        if call == "status" or config.method == "GET":
            return exchange(http, config, where, "GET", path, asked, limit)
        return exchange(http, config, where, "POST", path, asked, limit)

    def status(peer: str) -> Status:
        where = place(config, "status", peer)
        answer = read_status(ask("status", peer, {}), where)
        check_names(answer, config, peer, where)
        usual_bits[peer] = answer.key_size
        return within(answer, config)

    def enc_keys(peer: str, number: int, size_bits: int) -> tuple[DeliveredKey, ...]:
        asked = {"number": number} if number > 1 else {}
        asked |= {"size": size_bits} if size_bits != usual_bits.get(peer) else {}
        reply = ask("enc_keys", peer, asked, number * (size_bits + 6 * ENTRY_BYTES))
        where = place(config, "enc_keys", peer)
        return seen.admit(read_keys(reply, where, number, size_bits), where)

    def dec_keys(peer: str, key_ids: Sequence[str], size_bits: int) -> tuple[DeliveredKey, ...]:
        asked = _naming(key_ids, config)
        reply = ask("dec_keys", peer, asked, len(key_ids) * (size_bits + 6 * ENTRY_BYTES))
        where = place(config, "dec_keys", peer)
        return seen.admit(read_chosen_keys(reply, where, key_ids, size_bits), where)

    named = 1 if config.method == "GET" else config.keys_per_call or MOST_KEYS
    return Kme(status, enc_keys, dec_keys, config.connections, named)


def _naming(key_ids: Sequence[str], config: SaeConfig) -> dict[str, Any]:
    """Ask for keys by name, in the form that the KME takes."""
    if config.method == "GET":
        (key_id,) = key_ids
        return {"key_ID": key_id}
    if config.key_ids == "strings":
        return {"key_IDs": list(key_ids)}
    return {"key_IDs": [{"key_ID": key_id} for key_id in key_ids]}


def within(answer: Status, config: SaeConfig) -> Status:
    """What the KME can deliver, as far as our configuration goes along with it."""
    limits: dict[str, int] = {}
    if config.key_bits:
        limits |= {"min_key_size": config.key_bits, "max_key_size": config.key_bits}
    if config.keys_per_call:
        limits["max_key_per_request"] = config.keys_per_call
    return answer.model_copy(update=limits)


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


def exchange(
    http: httpx.Client,
    config: SaeConfig,
    where: str,
    method: Literal["GET", "POST"],
    path: str,
    asked: Mapping[str, Any] = MappingProxyType({}),
    limit: int = PROSE_BYTES,
) -> Reply:
    """Make one call and read its answer, whatever it says, within the configured time.

    Args:
        http: From `open_http`.
        config: Whose call it is.
        where: The beginning of messages.
        method: HTTP method.
        path: Behind `kme_url`; encoded.
        asked: What is asked for; as JSON, or behind the path.
        limit: Longest answer in bytes.

    Raises:
        KmeCertificateError: TLS refused one side.
        KmeUnreachableError: No answer, or half of one.
        KmeAnswerError: The answer is too long or in no readable form.
    """
    posted = method == "POST"
    request = http.build_request(
        method,
        path,
        params=None if posted or not asked else dict(asked),
        content=json.dumps(dict(asked)) if posted else None,
        headers={"Content-Type": "application/json"} if posted else {},
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

    Upper and lower case are the same, and so are both orders of a pair, since some KMEs call the
    SAE in the path the master; what the KME does not say is not compared.

    Raises:
        KmeAnswerError: A name differs.
    """
    swapped = _same(answer.master_SAE_ID, peer) and _same(answer.slave_SAE_ID, config.sae_id)
    pair = [
        ("master_SAE_ID", answer.master_SAE_ID, config.sae_id, "sae_id"),
        ("slave_SAE_ID", answer.slave_SAE_ID, peer, "peers"),
    ]
    kme = ("source_KME_ID", answer.source_KME_ID, config.kme_id, "kme_id")
    for field, arrived, wanted, setting in [kme] if swapped else [kme, *pair]:
        if arrived and wanted and not _same(arrived, wanted):
            raise KmeAnswerError(
                f"{where}: the KME says {field} is `{arrived}`, expected `{wanted}`; correct "
                f"`{setting}` or `kme_url`, or ask the KME's operator"
            )


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


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
