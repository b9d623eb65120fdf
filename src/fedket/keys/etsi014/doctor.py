"""What is wrong between an application and its KME: files, certificates, clocks, limits, rates.

`examine` gathers, in the order in which an operator would look, and pure functions judge: each
`check_…` returns a `Check`. Nothing consumes key, unless one of each link is asked for.
"""

import datetime
import email.utils
import math
import os
import socket
import ssl
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from fedket.keys.etsi014.client import Kme, connect, exchange, open_http
from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.errors import KmeError
from fedket.keys.etsi014.links import link_configs
from fedket.keys.etsi014.models import Status
from fedket.keys.etsi014.sizing import plan
from fedket.keys.etsi014.tls import (
    check_pair,
    check_window,
    client_context,
    explain_tls,
    names_of,
    read_certificate,
    read_private_key,
    utc_now,
)

SAMPLE_S = 5.0
"""Seconds between the two looks at the pools that give their rates."""

HTTPS_PORT = 443

LEAST_BYTES = 32
"""Key that confirms a link; `try_one_key` asks for so much."""

SOON = datetime.timedelta(days=14)
"""A certificate that expires within this is worth a note."""

CLOCK_NOTE_S, CLOCK_FAIL_S = 5.0, 60.0
"""Clock differences from which a note, and a failure, is made of them."""


class Check(NamedTuple):
    """One finding.

    Attributes:
        name: What was looked at.
        outcome: `ok`; `note`, worth knowing; `fail`, a run would not work; `skip`, could not be
            looked at because of an earlier failure.
        found: What was found, and for `note` and `fail` what to do; one line.
    """

    name: str
    outcome: Literal["ok", "note", "fail", "skip"]
    found: str


class Sample(NamedTuple):
    """A look at a pool.

    Attributes:
        status: What the KME said.
        at_s: When, in seconds of a monotonic clock.
    """

    status: Status
    at_s: float


def examine(
    config: SaeConfig,
    sample_s: float = SAMPLE_S,
    sleep: Callable[[float], None] = time.sleep,
    try_one_key: bool = False,
) -> Iterator[Check]:
    """Look at everything, without raising for what is wrong.

    Args:
        config: The application's.
        sample_s: Seconds between the two looks at each pool; 0 leaves the rates out.
        sleep: How to wait.
        try_one_key: Whether to take one key of each link, to see that it comes.
    """
    links = {peer: link for peer, link in link_configs(config).items() if peer in config.peers}
    for peer, link in links.items():
        for check in examine(link, sample_s, sleep, try_one_key):
            yield check._replace(name=f"{peer}, {check.name}")
    if links:
        left = tuple(peer for peer in config.peers if peer not in links)
        config = config.model_copy(update={"peers": left, "links": {}})
        if not left:
            return
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
    yield check_date(*_date(config))
    if not config.peers:
        yield Check("peers", "note", "no `peers` are listed, so no link was looked at")
    with connect(config) as kme:
        first = {}
        for peer in config.peers:
            sample, check = _look(kme, peer)
            yield check
            if sample is not None:
                first[peer] = sample
                yield check_limits(peer, sample.status, config.need_bytes)
        if first and sample_s > 0:
            sleep(sample_s)
        for peer, before in first.items() if sample_s > 0 else ():
            after, check = _look(kme, peer)
            yield check_rate(peer, before, after, config.need_rate_bps) if after else check
        for peer, sample in first.items() if try_one_key else ():
            yield _try_key(kme, peer, sample.status)


def _files(config: SaeConfig) -> Iterator[Check]:
    if config.psk is not None:
        try:
            client_context(config)
        except KmeError as error:
            yield Check("files", "fail", str(error))
        else:
            yield Check("files", "ok", f"{config.psk} holds a pre-shared key")
            yield check_permissions(config.psk, config.psk.stat().st_mode)
        return
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
            whose = f"the KME's certificate is for {name} and holds"
            said = "the KME has our pre-shared key" if config.psk else whose
            yield Check("TLS", "ok", f"{version}; {said}")


def _date(config: SaeConfig) -> tuple[str, datetime.datetime, datetime.datetime]:
    """The Date of any answer, and our times before and after the call."""
    before = utc_now()
    try:
        with open_http(config) as http:
            date = exchange(http, config, f"KME {config.kme_url}", "GET", "/").date
    except KmeError:
        date = ""
    return date, before, utc_now()


def _look(kme: Kme, peer: str) -> tuple[Sample | None, Check]:
    try:
        sample = Sample(kme.status(peer), time.monotonic())
    except KmeError as error:
        return None, Check(f"peer {peer}", "fail", str(error))
    status = sample.status
    route = f"{status.source_KME_ID or 'a KME'} to {status.target_KME_ID or 'another'}"
    stored = "does not say how many" if status.stored_key_count < 0 else status.stored_key_count
    return sample, Check(f"peer {peer}", "ok", f"{route}, {stored} keys stored")


def _try_key(kme: Kme, peer: str, status: Status) -> Check:
    """Take one key from the pool, which is then used for nothing."""
    try:
        request = plan(status, LEAST_BYTES)
        (key,) = kme.enc_keys(peer, 1, 8 * request.size_bytes)
    except KmeError as error:
        return Check(f"one key for {peer}", "fail", str(error))
    found = f"came, {8 * len(key.secret)} bits, named {key.key_id}; it is used for nothing"
    return Check(f"one key for {peer}", "ok", found)


def check_validity(certificate: x509.Certificate, path: Path, now: datetime.datetime) -> Check:
    """Whether our certificate holds now, and for how long."""
    try:
        check_window(certificate, path, now)
    except KmeError as error:
        return Check("validity", "fail", str(error))
    end = certificate.not_valid_after_utc
    if end - now < SOON:
        return Check("validity", "note", f"{path} expires on {end:%Y-%m-%d}; renew it soon")
    return Check("validity", "ok", f"until {end:%Y-%m-%d}")


def check_sae_id(certificate: x509.Certificate, sae_id: str) -> Check:
    """Whether our certificate names us, which is where a KME looks."""
    names = names_of(certificate)
    if sae_id in names:
        return Check("identity", "ok", f"the certificate names `{sae_id}`")
    listed = ", ".join(f"`{name}`" for name in names) or "nobody"
    return Check(
        "identity",
        "note",
        f"the certificate names {listed}, not `{sae_id}`; most KMEs take the SAE ID from there: "
        "correct `sae_id`, or ask the KME's operator how it maps certificates",
    )


def check_issuer(certificate: x509.Certificate, authorities: list[x509.Certificate]) -> Check:
    """Whether our certificate comes from a CA we know; the KME may well know another."""
    issuer = certificate.issuer.rfc4514_string()
    for authority in authorities:
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return Check("issuer", "ok", f"issued by a CA in `ca` ({issuer})")
    return Check("issuer", "note", f"issued by {issuer}, not in `ca`; the KME has to know that CA")


def check_permissions(path: Path, mode: int) -> Check:
    """Whether others may read the private key."""
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Check("permissions", "note", f"others may read {path}; run `chmod 600` on it")
    return Check("permissions", "ok", f"{path} is its owner's only")


def check_date(date: str, before: datetime.datetime, after: datetime.datetime) -> Check:
    """How far the KME's clock is from ours at least, by the Date header of an answer.

    Args:
        date: The header, in whole seconds, cut off.
        before: Our time when we asked.
        after: Our time when the answer had come.
    """
    try:
        theirs = email.utils.parsedate_to_datetime(date)
        ahead_s = (theirs - after).total_seconds()
        behind_s = (before - theirs).total_seconds() - 1
    except (ValueError, TypeError):
        return Check("clocks", "note", "the KME sends no Date, so the clocks were not compared")
    offset_s = max(ahead_s, 0.0) - max(behind_s, 0.0)
    apart = f"the KME's clock is {abs(offset_s):.0f} s {'ahead' if offset_s > 0 else 'behind'}"
    if abs(offset_s) > CLOCK_FAIL_S:
        return Check("clocks", "fail", f"{apart}; set both by NTP, or certificates will not hold")
    if abs(offset_s) > CLOCK_NOTE_S:
        return Check("clocks", "note", f"{apart}; set both by NTP")
    return Check("clocks", "ok", f"within {CLOCK_NOTE_S:.0f} s of the KME's")


def check_limits(peer: str, status: Status, need_bytes: int) -> Check:
    """Whether the KME's limits let a round's key through."""
    name = f"limits for {peer}"
    try:
        request = plan(status, max(1, need_bytes))
    except KmeError as error:
        return Check(name, "fail", str(error))
    most = f"keys of up to {status.max_key_size} bits, {status.max_key_per_request} per call"
    holds = status.max_key_count * status.key_size // 8
    known = status.max_key_count > 0
    size = f"the pool holds up to {holds}" if known else "the KME does not say what its pool holds"
    if not need_bytes:
        return Check(name, "ok", f"{most}; {size}{' bytes' * known}")
    calls = math.ceil(need_bytes / (request.number * request.size_bytes))
    takes = f"{most}: a round's {need_bytes} bytes take {calls} call{'s' * (calls != 1)}"
    if known and need_bytes > holds:
        return Check(
            name,
            "fail",
            f"{takes}, but the pool never holds more than {holds}; ask for a larger "
            "max_key_count, or lower the bits per value",
        )
    return Check(name, "ok", f"{takes}; {size}")


def check_rate(peer: str, before: Sample, after: Sample, need_bps: float) -> Check:
    """At which rate a pool fills, from two looks at it; nobody else should use it meanwhile."""
    name = f"rate for {peer}"
    first, second = before.status, after.status
    if first.stored_key_count < 0 or second.stored_key_count < 0:
        return Check(name, "note", "the KME does not say how many keys it has; its rate is unknown")
    if 0 < second.max_key_count <= second.stored_key_count:
        return Check(name, "ok", "the pool is full, so its rate cannot be seen")
    seconds = after.at_s - before.at_s
    gained = second.stored_key_count - first.stored_key_count
    if gained < 0:
        return Check(name, "note", "the pool shrank, somebody uses it; try again when nobody does")
    rate, resolution = gained * second.key_size / seconds, second.key_size / seconds
    seen = f"about {rate:.0f} bit/s (seen to {resolution:.0f} bit/s in {seconds:.1f} s)"
    if rate + resolution < need_bps:
        return Check(
            name, "fail", f"{seen}, {need_bps:.0f} are needed; lower the need or wait in between"
        )
    if not gained:
        stored = second.stored_key_count
        return Check(name, "note", f"{seen}; {stored} keys stored, is the link up? Sample longer")
    return Check(name, "ok", seen)
