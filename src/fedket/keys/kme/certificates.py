"""Certificates for a trial: one CA, one certificate per KME and per SAE. Not for production.

trustme makes them, for servers and clients alike; those of SAEs name no host, so that none of them
passes for a KME, but an address that nobody has: other people's TLS refuses certificates whose
list of names is empty (RFC 5280, 4.2.1.6). The CA's key is never written: a trial gets no further
certificates.
"""

import datetime
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from fedket.errors import ConfigError
from fedket.keys.etsi014.config import is_host
from fedket.keys.etsi014.errors import KmeCertificateError
from fedket.keys.etsi014.tls import utc_now

HOSTS = ("localhost", "127.0.0.1", "::1")
"""Where the KMEs of a trial run, unless said otherwise."""

NO_HOST = ("application@fedket.invalid",)
"""Alternative name of SAEs."""

DAYS = 90
ORGANISATION = "fedket development, not for production"
MAX_NAME = 64
"""Longest common name (X.520 ub-common-name)."""


class CertificateFiles(NamedTuple):
    """What `write_certificates` wrote.

    Attributes:
        ca: The CA's certificate.
        certificates: ID -> (certificate, private key).
    """

    ca: Path
    certificates: dict[str, tuple[Path, Path]]


def write_certificates(
    directory: Path,
    kmes: Sequence[str],
    saes: Sequence[str],
    hosts: Sequence[str] = HOSTS,
    days: int = DAYS,
) -> CertificateFiles:
    """Write a CA's certificate, and the certificates and private keys of a trial.

    Args:
        directory: Made if missing, for its owner only.
        kmes: IDs of KMEs; their certificates name `hosts`.
        saes: IDs of SAEs; their certificates name the ID.
        hosts: Host names and addresses of the KMEs.
        days: How long they hold, from an hour ago on.

    Raises:
        KmeCertificateError: A file is there already (nothing is overwritten), or an ID or host
            cannot be named in a certificate.
        ConfigError: trustme is not installed.
    """
    _check_names([*kmes, *saes], hosts)
    try:
        from trustme import CA
    except ModuleNotFoundError:
        raise ConfigError(
            "the package `trustme` is missing; install it with: pip install 'fedket[kme]'"
        ) from None
    ca, now = CA(organization_name=ORGANISATION, path_length=0), utc_now()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    written = {}
    for name in (*kmes, *saes):
        made = ca.issue_cert(
            *(hosts if name in kmes else NO_HOST),
            common_name=name,
            organization_name=ORGANISATION,
            not_before=now - datetime.timedelta(hours=1),
            not_after=now + datetime.timedelta(days=days),
        )
        stem = quote(name, safe=" @+,=")
        key = _write(directory / f"{stem}.key", made.private_key_pem.bytes(), 0o600)
        chain = b"".join(part.bytes() for part in made.cert_chain_pems)
        written[name] = (_write(directory / f"{stem}.crt", chain, 0o644), key)
    return CertificateFiles(_write(directory / "ca.crt", ca.cert_pem.bytes(), 0o644), written)


def _write(path: Path, content: bytes, mode: int) -> Path:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise KmeCertificateError(
            f"{path} is there already and is not overwritten; name a new directory"
        ) from None
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    return path


def _check_names(names: Sequence[str], hosts: Sequence[str]) -> None:
    for name in names:
        if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name.lower() == "ca":
            raise KmeCertificateError(
                f"the ID {name[:80]!r} cannot name a certificate; choose 1 to {MAX_NAME} printable "
                "characters other than `ca`"
            )
        if names.count(name) > 1:
            raise KmeCertificateError(f"the ID `{name}` is given twice; IDs name their files")
    for host in hosts:
        if not is_host(host):
            raise KmeCertificateError(f"`{host}` is neither a host name nor an address")
