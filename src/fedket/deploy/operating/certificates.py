"""How long a party's certificates are good for."""

import time
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from fedket.deploy.operating.state import CertificateState

WARN_DAYS = 30.0
"""From here on a certificate is spoken of."""

AGAIN_S = 60.0
"""How often files are read again: certificates are renewed while a party runs."""

SUFFIXES = (".crt", ".pem")


class CertificateWatch:
    """The certificates in a kit, its key manager's included, the first to end first.

    Args:
        kit: A party's startup kit.
    """

    def __init__(self, kit: Path) -> None:
        self._kit, self._read, self._found = kit, time.monotonic(), certificates_of(kit)

    def __call__(self) -> tuple[CertificateState, ...]:
        """Return them, as they were a minute ago at most."""
        if time.monotonic() - self._read > AGAIN_S:
            self._read, self._found = time.monotonic(), certificates_of(self._kit)
        return self._found


def certificates_of(kit: Path) -> tuple[CertificateState, ...]:
    """Return the certificates in a kit."""
    paths = (path for folder in ("startup", "local") for path in (kit / folder).rglob("*"))
    found = [_state(kit, path) for path in sorted(paths) if path.suffix in SUFFIXES]
    return tuple(sorted((one for one in found if one), key=lambda one: one.ends))


def _state(kit: Path, path: Path) -> CertificateState | None:
    try:
        ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):  # a key, or none of ours
        return None
    return CertificateState(
        file=str(path.relative_to(kit)), ends=ends.astimezone(UTC).isoformat(timespec="seconds")
    )


def days_left(certificate: CertificateState) -> float:
    """Return the days until a certificate ends; below 0 once it has."""
    left = datetime.fromisoformat(certificate.ends) - datetime.now(UTC)
    return round(left.total_seconds() / 86400, 2)
