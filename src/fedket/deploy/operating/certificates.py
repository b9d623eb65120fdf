"""How long a party's certificates are good for."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from fedket.deploy.operating.state import CertificateState

WARN_DAYS = 30.0
"""From here on a certificate is spoken of."""

SUFFIXES = (".crt", ".pem")


def certificates_of(kit: Path) -> tuple[CertificateState, ...]:
    """Return the certificates in a kit, its key manager's included, the first to end first."""
    paths = (path for folder in ("startup", "local") for path in (kit / folder).rglob("*"))
    found = [_state(kit, path) for path in sorted(paths) if path.suffix in SUFFIXES]
    return tuple(sorted((one for one in found if one), key=lambda one: one.days))


def _state(kit: Path, path: Path) -> CertificateState | None:
    try:
        ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):  # a key, or none of ours
        return None
    days = (ends - datetime.now(UTC)).total_seconds() / 86400
    return CertificateState(
        file=str(path.relative_to(kit)),
        ends=ends.isoformat(timespec="seconds"),
        days=round(days, 2),
    )
