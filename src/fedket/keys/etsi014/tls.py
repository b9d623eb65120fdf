"""TLS as ETSI GS QKD 014 wants it: 1.2 or newer, both sides with certificates.

Also OpenSSL's complaints in plain words, for the client and for the doctor.
"""

import ssl
from pathlib import Path

from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.errors import KmeCertificateError
from fedket.keys.etsi014.identity import (
    check_pair,
    check_window,
    read_certificate,
    read_private_key,
    utc_now,
)

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
    "UNEXPECTED_EOF": "it hung up during the handshake; it may refuse our certificate",
}
"""Part of OpenSSL's reason -> what it means here."""


def client_context(config: SaeConfig) -> ssl.SSLContext:
    """TLS settings of an application.

    Raises:
        KmeCertificateError: See `load_identity`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    load_identity(context, config.ca, config.certificate, config.key)
    return context


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
