"""Certificates as both sides of the door read them: whose they are, and whether they are usable."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from fedket.keys.etsi014.errors import KmeCertificateError


def read_certificate(path: Path) -> x509.Certificate:
    """Read the first certificate of a PEM file.

    Raises:
        KmeCertificateError: The file is missing, unreadable or holds no certificate.
    """
    content = _read(path, "certificate")
    try:
        return x509.load_pem_x509_certificate(content)
    except ValueError:
        raise KmeCertificateError(
            f"{path} holds no certificate in PEM form; name a file with `BEGIN CERTIFICATE`"
        ) from None


def read_private_key(path: Path) -> PrivateKeyTypes:
    """Read a private key.

    Raises:
        KmeCertificateError: The file is missing, unreadable, encrypted or holds no private key.
    """
    content = _read(path, "private key")
    try:
        return load_pem_private_key(content, password=None)
    except TypeError:
        raise KmeCertificateError(
            f"{path} is encrypted and nobody can type a password in a run; decrypt it with "
            "`openssl pkey -in … -out …` and keep it readable by its owner only"
        ) from None
    except ValueError:
        raise KmeCertificateError(
            f"{path} holds no private key in PEM form; name a file with `BEGIN PRIVATE KEY`"
        ) from None


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The subject's common names, then the alternative names (DNS, URI, e-mail)."""
    common = [str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return tuple(common)
    kinds = (x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name)
    return (*common, *(name.value for name in san if isinstance(name, kinds)))


def check_window(certificate: x509.Certificate, path: Path, now: datetime.datetime) -> None:
    """Refuse a certificate that does not hold at `now`.

    Raises:
        KmeCertificateError: It has expired or is not valid yet.
    """
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        raise KmeCertificateError(
            f"{path} expired on {end:%Y-%m-%d %H:%M} UTC and this machine's clock says "
            f"{now:%Y-%m-%d %H:%M} UTC; get a new certificate, or set the clock"
        )
    if now < start:
        raise KmeCertificateError(
            f"{path} is not valid before {start:%Y-%m-%d %H:%M} UTC and this machine's clock says "
            f"{now:%Y-%m-%d %H:%M} UTC; set the clock, or wait"
        )


def check_pair(certificate: x509.Certificate, key: PrivateKeyTypes, path: Path) -> None:
    """Refuse a private key that is not the certificate's.

    Raises:
        KmeCertificateError: The public keys differ.
    """
    if key.public_key() != certificate.public_key():
        raise KmeCertificateError(
            f"{path} is not the private key of the certificate beside it; they were made at "
            "different times or for different names: put the pair together again"
        )


def utc_now() -> datetime.datetime:
    """This machine's clock."""
    return datetime.datetime.now(datetime.UTC)


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KmeCertificateError(
            f"cannot read the {what} {path}: {error.strerror}; check the path and its permissions"
        ) from None
