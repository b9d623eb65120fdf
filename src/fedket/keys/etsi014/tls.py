"""TLS as ETSI GS QKD 014 wants it: 1.2 or newer, both sides with certificates.

Certificates as both sides of the door read them: whose they are, and whether they are usable. And
OpenSSL's complaints in plain words, for the client and for the doctor.
"""

import datetime
import math
import ssl
import sys
import time
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.errors import KmeCertificateError

VERIFY_ADVICE = {
    9: "its certificate is not valid yet; compare the clocks of both machines",
    10: "its certificate has expired; renew it, or set this machine's clock",
    18: "its certificate is self-signed; name the CA that the KME's operator gave you as `ca`",
    19: "its chain ends in a CA that `ca` does not hold; ask the KME's operator for its CA",
    20: "its issuer is not in `ca`; ask the KME's operator for its CA certificate",
    26: "its certificate is not meant for a server; the KME needs another one",
    62: "its certificate is for another host; correct `kme_url`, or name it as `server_name`",
    64: "its certificate is for another address; correct `kme_url`, or set `server_name`",
}
"""X509_V_ERR codes of OpenSSL -> what is wrong with the KME's certificate."""

ALERT_ADVICE = {
    "CERTIFICATE_REQUIRED": "the KME got no certificate from us; check `certificate`",
    "CERTIFICATE_EXPIRED": "the KME finds our certificate expired; renew it, compare the clocks",
    "CERTIFICATE_REVOKED": "the KME finds our certificate revoked; get a new one",
    "UNKNOWN_CA": "the KME does not know the CA of our certificate; have it registered there",
    "BAD_CERTIFICATE": "the KME refuses our certificate; ask its operator which CA it trusts",
    "CERTIFICATE_UNKNOWN": "the KME refuses our certificate; ask its operator for the reason",
    "HANDSHAKE_FAILURE": "no common cipher, or the KME refuses our certificate; ask its operator",
    "PROTOCOL_VERSION": "it does not speak TLS 1.2 or newer, which ETSI GS QKD 014 requires",
    "UNSUPPORTED_PROTOCOL": "it does not speak TLS 1.2 or newer, which ETSI GS QKD 014 requires",
    "WRONG_VERSION_NUMBER": "it does not speak TLS there; check the port in `kme_url`",
    "HTTP_REQUEST": "it speaks plain HTTP there; check the port in `kme_url`",
    "BAD_RECORD_MAC": "the KME has another pre-shared key than ours; compare them",
    "UNKNOWN_PSK_IDENTITY": "the KME has no pre-shared key for us; correct `sae_id`",
    "UNEXPECTED_EOF": "it hung up during the handshake; it may refuse our certificate",
}
"""Part of OpenSSL's reason -> what it means here."""


RECORD_BYTES = 1 << 14
"""Of TLS, at most."""

DEADLINE: ContextVar[float] = ContextVar("deadline", default=math.inf)
"""When the call that is being made has to be over, on the monotonic clock."""


class HastySocket(ssl.SSLSocket):
    """A TLS socket that reads until `DEADLINE`, however small the pieces that arrive."""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read what is there; raise `TimeoutError` when the call should be over."""
        left = DEADLINE.get() - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call took too long")
        patience = self.gettimeout()
        if left < math.inf:
            self.settimeout(left if patience is None else min(left, patience))
        came = super().recv(buflen, flags)
        return came if len(came) < RECORD_BYTES else came + self._more(buflen - len(came))

    def _more(self, most: int) -> bytes:
        """Read what else is there: to take an answer in record by record costs more than itself."""
        patience, parts = self.gettimeout(), list[bytes]()
        self.settimeout(0)
        with suppress(ssl.SSLWantReadError, BlockingIOError):
            while most and (part := super().recv(most)):
                parts.append(part)
                most -= len(part)
        self.settimeout(patience)
        return b"".join(parts)


def client_context(config: SaeConfig) -> ssl.SSLContext:
    """TLS settings of an application.

    Raises:
        KmeCertificateError: See `load_identity`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = HastySocket
    if config.psk is not None:
        _share_key(context, config.sae_id, read_psk(config.psk))
        return context
    load_identity(context, config.ca, config.certificate, config.key)
    return context


def _share_key(context: ssl.SSLContext, identity: str, psk: bytes) -> None:
    """Have a context talk with whoever has the same key, and nobody else: no certificates.

    TLS 1.2 with fresh Diffie-Hellman keys (draft-cisco-skip-02, section 3); in 1.3 a server may
    answer with a certificate instead, which nobody here would check.

    Raises:
        KmeCertificateError: This Python cannot.
    """
    set_callback = getattr(context, "set_psk_client_callback", None)
    if set_callback is None:
        raise KmeCertificateError(
            f"TLS with a pre-shared key (`psk`) takes Python 3.13, this is "
            f"{sys.version.split()[0]}; use that, or put a TLS proxy with the key beside fedket"
        )
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("kECDHEPSK:kDHEPSK")
    set_callback(lambda _: (identity, psk))


def read_psk(path: Path) -> bytes:
    """Read a pre-shared key.

    Raises:
        KmeCertificateError: The file is missing, or holds none of 16 to 64 bytes.
    """
    try:
        key = bytes.fromhex(_read(path, "pre-shared key").decode("ascii").strip())
    except ValueError:
        key = b""
    if not 16 <= len(key) <= 64:
        raise KmeCertificateError(
            f"{path} should hold a pre-shared key of 16 to 64 bytes in hexadecimal, nothing else"
        )
    return key


def load_identity(context: ssl.SSLContext, ca: Path, certificate: Path, key: Path) -> None:
    """Give a context its version floor, whom it trusts, and who it is.

    Raises:
        KmeCertificateError: A file is unusable, the key is not the certificate's, or the
            certificate does not hold now.
    """
    ours = read_certificate(certificate)
    check_window(ours, certificate, utc_now())
    check_pair(ours, read_private_key(key), key)
    read_certificate(ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(ca)
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError) as error:
        raise KmeCertificateError(
            f"OpenSSL cannot use {ca}, {certificate} and {key}: {_reason(error)}; make them anew"
        ) from None


def explain_tls(error: ssl.SSLError) -> str:
    """Say which side's certificate or protocol is at fault, and what to do; one line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return VERIFY_ADVICE.get(
            error.verify_code,
            f"its certificate does not verify ({error.verify_message}); ask the KME's operator",
        )
    reason = _reason(error)
    for part, advice in ALERT_ADVICE.items():
        if part in reason.upper():
            return advice
    return f"TLS failed ({reason}); compare the TLS settings of both sides"


def tls_error_in(error: BaseException | None) -> ssl.SSLError | None:
    """The TLS error that an exception was raised from, if any."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or error)


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
