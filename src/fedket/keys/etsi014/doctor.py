"""What is wrong between an application and its KME: files, certificates, clocks, limits, rates.

`examine` gathers and lets `fedket.keys.etsi014.checks` judge, in the order in which an operator
would look. Nothing consumes key.
"""

import datetime
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from cryptography import x509

from fedket.keys.etsi014.answers import read_status
from fedket.keys.etsi014.checks import (
    Check,
    Sample,
    check_date,
    check_issuer,
    check_limits,
    check_permissions,
    check_rate,
    check_sae_id,
    check_validity,
)
from fedket.keys.etsi014.client import ask, check_names, open_http, place
from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.errors import KmeError
from fedket.keys.etsi014.tls import (
    check_pair,
    client_context,
    explain_tls,
    read_certificate,
    read_private_key,
    utc_now,
)

SAMPLE_S = 5.0
"""Seconds between the two looks at the pools that give their rates."""

HTTPS_PORT = 443


def examine(
    config: SaeConfig,
    sample_s: float = SAMPLE_S,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Check]:
    """Look at everything, without raising for what is wrong.

    Args:
        config: The application's.
        sample_s: Seconds between the two looks at each pool; 0 leaves the rates out.
        sleep: How to wait.
    """
    files = list(_files(config))
    yield from files
    if any(check.outcome == "fail" for check in files):
        yield Check("network", "skip", "the files above come first")
        return
    door = list(_door(config))
    yield from door
    if any(check.outcome == "fail" for check in door):
        yield Check("peers", "skip", "the connection above comes first")
        return
    with open_http(config) as http:
        yield check_date(*_date(http, config))
        if not config.peers:
            yield Check("peers", "note", "no `peers` are listed, so no link was looked at")
        first = {}
        for peer in config.peers:
            sample, check = _look(http, config, peer)
            yield check
            if sample is not None:
                first[peer] = sample
                yield check_limits(peer, sample.status, config.need_bytes)
        if first and sample_s > 0:
            sleep(sample_s)
        for peer, before in first.items() if sample_s > 0 else ():
            after, check = _look(http, config, peer)
            yield check_rate(peer, before, after, config.need_rate_bps) if after else check


def _files(config: SaeConfig) -> Iterator[Check]:
    try:
        authorities = _authorities(config.ca)
        certificate = read_certificate(config.certificate)
        key = read_private_key(config.key)
    except KmeError as error:
        yield Check("files", "fail", str(error))
        return
    yield Check("files", "ok", f"{config.ca}, {config.certificate} and {config.key} are readable")
    try:
        check_pair(certificate, key, config.key)
    except KmeError as error:
        yield Check("key pair", "fail", str(error))
    else:
        yield Check("key pair", "ok", "the private key is the certificate's")
    if os.name == "posix":
        yield check_permissions(config.key, config.key.stat().st_mode)
    yield check_validity(certificate, config.certificate, utc_now())
    yield check_sae_id(certificate, config.sae_id)
    yield check_issuer(certificate, authorities)


def _authorities(path: Path) -> list[x509.Certificate]:
    read_certificate(path)
    return x509.load_pem_x509_certificates(path.read_bytes())


def _door(config: SaeConfig) -> Iterator[Check]:
    """Connect and shake hands."""
    parts = urlsplit(config.kme_url)
    host, port = parts.hostname or "", parts.port or HTTPS_PORT
    try:
        connection = socket.create_connection((host, port), config.timeout_s)
    except OSError as error:
        found = f"no connection to {host}:{port} ({error}); check host, port and firewalls"
        yield Check("reachable", "fail", found)
        return
    yield Check("reachable", "ok", f"{host}:{port}")
    with connection:
        try:
            context = client_context(config)
            with context.wrap_socket(connection, server_hostname=config.server_name or host) as tls:
                version = tls.version()
        except ssl.SSLError as error:
            yield Check("TLS", "fail", f"KME {config.kme_url}: {explain_tls(error)}")
        except (OSError, KmeError) as error:
            found = f"KME {config.kme_url}: the handshake failed ({error}); is it a TLS port?"
            yield Check("TLS", "fail", found)
        else:
            name = config.server_name or host
            yield Check("TLS", "ok", f"{version}; the KME's certificate is for {name} and holds")


def _date(
    http: httpx.Client, config: SaeConfig
) -> tuple[str, datetime.datetime, datetime.datetime]:
    """The Date of any answer, and our times before and after the call."""
    before = utc_now()
    try:
        date = ask(http, config, "GET", "status", (*config.peers, config.sae_id)[0]).date
    except KmeError:
        date = ""
    return date, before, utc_now()


def _look(http: httpx.Client, config: SaeConfig, peer: str) -> tuple[Sample | None, Check]:
    name, where = f"peer {peer}", place(config, "status", peer)
    try:
        status = read_status(ask(http, config, "GET", "status", peer), where)
        sample = Sample(status, time.monotonic())
        check_names(status, config, peer, where)
    except KmeError as error:
        return None, Check(name, "fail", str(error))
    route = f"{status.source_KME_ID} to {status.target_KME_ID}"
    return sample, Check(name, "ok", f"{route}, {status.stored_key_count} keys stored")
