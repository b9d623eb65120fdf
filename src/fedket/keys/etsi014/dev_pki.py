"""Certificates for a trial: one CA, one certificate per KME and per SAE. Not for production.

Everything is EC P-256 and valid for a limited time. The CA's key lies beside the others, so
whoever can read the directory can pretend to be anybody in the trial.
"""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedket.keys.etsi014.config import HOST_NAME
from fedket.keys.etsi014.errors import KmeCertificateError
from fedket.keys.etsi014.identity import Window, utc_now

HOSTS = ("localhost", "127.0.0.1", "::1")
"""Where the KMEs of a trial run, unless said otherwise."""

DAYS = 90
ORGANISATION = "fedket development, not for production"
MAX_NAME = 64
"""Longest common name (X.520 ub-common-name)."""


class Identity(NamedTuple):
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class PkiFiles(NamedTuple):
    """What `create` wrote.

    Attributes:
        ca: The CA's certificate.
        certificates: ID -> (certificate, private key).
    """

    ca: Path
    certificates: dict[str, tuple[Path, Path]]


def create(
    directory: Path,
    kmes: Sequence[str],
    saes: Sequence[str],
    hosts: Sequence[str] = HOSTS,
    days: int = DAYS,
) -> PkiFiles:
    """Write a CA and the certificates of a trial.

    Args:
        directory: Made if missing, for its owner only.
        kmes: IDs of KMEs; their certificates name `hosts`.
        saes: IDs of SAEs; their certificates name the ID.
        hosts: Host names and addresses of the KMEs.
        days: How long they hold, from an hour ago on.

    Raises:
        KmeCertificateError: A file is there already (nothing is overwritten), or an ID or host
            cannot be named in a certificate.
    """
    _check_names([*kmes, *saes])
    alternatives = [_alternative(host) for host in hosts]
    window = Window(utc_now() - datetime.timedelta(hours=1), utc_now() + datetime.timedelta(days))
    ca = make_ca("fedket development CA", window)
    made = {"ca": ca}
    made |= {
        kme: issue(ca, kme, window, ExtendedKeyUsageOID.SERVER_AUTH, alternatives) for kme in kmes
    }
    made |= {sae: issue(ca, sae, window, ExtendedKeyUsageOID.CLIENT_AUTH) for sae in saes}
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    paths = {name: write(directory, name, identity) for name, identity in made.items()}
    return PkiFiles(paths.pop("ca")[0], paths)


def make_ca(name: str, window: Window) -> Identity:
    """Make a certification authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    builder = (
        _builder(subject, subject, key.public_key(), window)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return Identity(builder.sign(key, hashes.SHA256()), key)


def issue(
    ca: Identity,
    name: str,
    window: Window,
    purpose: x509.ObjectIdentifier,
    alternatives: Sequence[x509.GeneralName] = (),
) -> Identity:
    """Make a certificate with common name `name`, for a TLS server or client."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer)
    builder = (
        _builder(_subject(name), ca.certificate.subject, key.public_key(), window)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(issuer, critical=False)
    )
    named = [*alternatives, *([x509.DNSName(name)] if HOST_NAME.fullmatch(name) else [])]
    if named:
        builder = builder.add_extension(x509.SubjectAlternativeName(named), critical=False)
    return Identity(builder.sign(ca.key, hashes.SHA256()), key)


def write(directory: Path, name: str, identity: Identity) -> tuple[Path, Path]:
    """Write `name`.crt, and `name`.key for its owner only; returns their paths.

    Raises:
        KmeCertificateError: One of them is there already.
    """
    stem = quote(name, safe=" @+,=")
    certificate, key = directory / f"{stem}.crt", directory / f"{stem}.key"
    private = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write_new(key, private, 0o600)
    _write_new(certificate, identity.certificate.public_bytes(Encoding.PEM), 0o644)
    return certificate, key


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise KmeCertificateError(
            f"{path} is there already and is not overwritten; name a new directory"
        ) from None
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name.lower() == "ca":
            raise KmeCertificateError(
                f"the ID {name[:80]!r} cannot name a certificate; choose 1 to {MAX_NAME} printable "
                "characters other than `ca`"
            )
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise KmeCertificateError(f"the ID `{twice[0]}` is given twice; IDs name their files")


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if not HOST_NAME.fullmatch(host):
        raise KmeCertificateError(f"`{host}` is neither a host name nor an address")
    return x509.DNSName(host)


def _subject(name: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION)
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, window: Window
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
    return (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(window.start)
        .not_valid_after(window.end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
