"""Keys, requests and certificates (X.509), and the root that signs them at the coordinator's.

A party's private key is made where it is used. The root's certificate may be renewed; its key, and
so its fingerprint, stays for the life of the federation. Names of servers' hosts stand in the
certificate's alternative names, so that they may be long.
"""

import datetime
import hashlib
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedket.errors import ConfigError
from fedket.files import write_atomic

DAYS, ROOT_DAYS = 90, 720
"""How long certificates hold, of parties and of the root."""

CLOCKS_DAYS = 1 / 24
"""By how much a new certificate begins earlier, for clocks that are late."""

ORGANISATION = "fedket"
SITE, SERVER, COORDINATOR, OBSERVER = "site", "server", "coordinator", "observer"
ROLES = (SITE, SERVER, COORDINATOR, OBSERVER)
"""What a party may be: an observer sees how the run goes, a coordinator also begins and ends it."""

KEY, CERTIFICATE = "root.key", "root.pem"
"""Files of a root, in a folder that only the coordinator reads."""

PEM = serialization.Encoding.PEM


class Credentials(NamedTuple):
    """What a party shows, and how it proves that it may.

    Attributes:
        name: The party.
        role: One of `ROLES`.
        certificate: Its certificate (PEM).
        key: Its private key (PEM).
        root: The federation's root certificate (PEM).
    """

    name: str
    role: str
    certificate: bytes
    key: bytes
    root: bytes

    def __repr__(self) -> str:
        return f"Credentials({self.name!r}, {self.role!r})"


class Root(NamedTuple):
    """What signs certificates.

    Attributes:
        key: Its private key.
        certificate: Its certificate.
    """

    key: RSAPrivateKey
    certificate: x509.Certificate


def new_key() -> RSAPrivateKey:
    """Return a new private key."""
    return generate_private_key(public_exponent=65537, key_size=2048)


def pem(certificate: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    """Return a certificate, or a request for one, as PEM."""
    return certificate.public_bytes(PEM)


def key_pem(key: RSAPrivateKey) -> bytes:
    """Return a private key as PEM, not encrypted."""
    return key.private_bytes(
        PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def read_key(content: bytes, where: str) -> RSAPrivateKey:
    """Read a private key.

    Raises:
        ConfigError: It is none.
    """
    try:
        key = serialization.load_pem_private_key(content, None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where} holds no private key: {error}") from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError(f"{where} holds a key that is not RSA; make a new one")
    return key


def read_certificate(content: bytes, where: str) -> x509.Certificate:
    """Read a certificate.

    Raises:
        ConfigError: It is none.
    """
    try:
        return x509.load_pem_x509_certificate(content)
    except ValueError as error:
        raise ConfigError(f"{where} holds no certificate: {error}") from None


def fingerprint(holder: RSAPrivateKey | x509.Certificate | x509.CertificateSigningRequest) -> str:
    """Return the SHA-256 of a public key (its SubjectPublicKeyInfo), 64 hexadecimal digits.

    Of the key, so that it stays when a certificate is renewed.
    """
    der = holder.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()


def spoken(digest: str) -> str:
    """Return a fingerprint as people compare it on the telephone: its first 128 bits in fours."""
    return "-".join(digest[i : i + 4] for i in range(0, 32, 4))


def make_root(name: str, days: int = ROOT_DAYS, key: RSAPrivateKey | None = None) -> Root:
    """Make the root of a federation, or renew it: then with its `key`."""
    key = key or new_key()
    subject = _name(name)
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    public, end = key.public_key(), _in_days(days)
    builder = _builder(subject, subject, public, public, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return Root(key, builder.add_extension(usage, critical=True).sign(key, hashes.SHA256()))


def save_root(root: Root, folder: Path) -> None:
    """Write a root into a folder of its own."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(folder / KEY, key_pem(root.key))
    write_atomic(folder / CERTIFICATE, pem(root.certificate))


def load_root(folder: Path) -> Root:
    """Read the root of a federation.

    Raises:
        ConfigError: It is not there, or damaged.
    """
    if not (folder / KEY).is_file():
        raise ConfigError(
            f"{folder / KEY} is not there; only the coordinator, who has it, can do this"
        )
    key = read_key((folder / KEY).read_bytes(), f"{folder / KEY}")
    return Root(key, read_certificate((folder / CERTIFICATE).read_bytes(), f"{folder / KEY}"))


def request(name: str, key: RSAPrivateKey) -> x509.CertificateSigningRequest:
    """Return a party's request for a certificate (PKCS #10), signed by its own key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(name))
    return builder.sign(key, hashes.SHA256())


def issue(
    root: Root,
    name: str,
    role: str,
    public_key: RSAPublicKey,
    hosts: Sequence[str] = (),
    days: int = DAYS,
) -> x509.Certificate:
    """Sign a party's certificate.

    Args:
        root: What signs.
        name: The party, at most 64 characters.
        role: One of `ROLES`.
        public_key: The party's.
        hosts: Names and addresses under which it is reached.
        days: How long it holds; never beyond the root's own end.
    """
    end = min(_in_days(days), root.certificate.not_valid_after_utc)
    subject, issuer = _name(name, role), root.certificate.subject
    names = x509.SubjectAlternativeName([_alternative(host) for host in hosts or [name]])
    serves = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _builder(subject, issuer, public_key, root.key.public_key(), end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(serves), critical=False)
        .add_extension(names, critical=False)
    )
    return builder.sign(root.key, hashes.SHA256())


def days_left(certificate: x509.Certificate) -> float:
    """Return for how many days a certificate still holds; less than 0 if it does not."""
    return (certificate.not_valid_after_utc - _in_days(0)) / datetime.timedelta(days=1)


def signed_by(certificate: x509.Certificate, root: x509.Certificate) -> bool:
    """Whether a root's key has signed a certificate."""
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: RSAPublicKey,
    signer: RSAPublicKey,
    end: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_in_days(-CLOCKS_DAYS))
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _name(name: str, role: str = "") -> x509.Name:
    """A subject; the role stands where engines look for that of people (PKCS #9)."""
    parts = [(NameOID.COMMON_NAME, name), (NameOID.ORGANIZATION_NAME, ORGANISATION)]
    parts += [(NameOID.UNSTRUCTURED_NAME, role)] if role else []
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _in_days(days: float) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
