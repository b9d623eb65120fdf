"""A trial in one directory: certificates, a configuration of KMEs, and one for each application.

All KMEs run on one machine, on ports from `FIRST_PORT`; every pair of applications is linked. Other
machines reach them only if their host is named.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from fedket.keys.etsi014.errors import KmeError
from fedket.keys.kme.certificates import DAYS, HOSTS, CertificateFiles, write_certificates

FIRST_PORT = 8441
RATE_BPS = 32_800.0
"""Simulated key rate of each link: the 32.8 kbit/s per pair that the QuNetQFL paper reports."""

INITIAL_KEYS = 10_000
"""Keys of 256 bits in each pool at the start: 320 kB."""

NAME = "kme.toml"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - asked for by naming a host that others reach
EVERYWHERE_IPV6 = "::"


def reach(host: str) -> str:
    """Say who reaches a KME that listens there."""
    if host in (EVERYWHERE, EVERYWHERE_IPV6):
        return (
            ', on ALL addresses of this machine; `host = "127.0.0.1"` in the file shuts others out'
        )
    return ", for this machine only" if host in HOSTS else ""


class Trial(NamedTuple):
    """What `write_trial` wrote.

    Attributes:
        pki: The certificates.
        kme_config: For `fedket kme serve`.
        sae_configs: SAE ID -> its file for `fedket keys doctor`.
    """

    pki: CertificateFiles
    kme_config: Path
    sae_configs: dict[str, Path]


def write_trial(
    directory: Path,
    kmes: Sequence[str],
    saes: Sequence[str],
    hosts: Sequence[str] = HOSTS,
    days: int = DAYS,
    first_port: int = FIRST_PORT,
) -> Trial:
    """Write everything; the applications are dealt to the KMEs in turn.

    Args:
        directory: Where to.
        kmes: IDs of KMEs.
        saes: IDs of applications.
        hosts: Host names and addresses of the KMEs; applications use the first. If that is not
            this machine's loopback, the KMEs listen on all its addresses.
        days: How long certificates hold.
        first_port: The first KME's port; the others follow.

    Raises:
        KmeError: A file is there already, an ID does not fit, or there are more KMEs than
            applications.
    """
    if not 1 <= len(kmes) <= len(saes):
        raise KmeError(
            f"{len(kmes)} KMEs cannot share {len(saes)} SAEs; name one SAE or more for each KME"
        )
    if (directory / NAME).exists():
        raise KmeError(f"{directory / NAME} is there already; name a new directory")
    pki = write_certificates(directory, kmes, saes, hosts, days)
    homes = {sae: kmes[i % len(kmes)] for i, sae in enumerate(saes)}
    sections = [
        _listen(hosts[0]) | _kme(pki, kme, first_port + i, homes) for i, kme in enumerate(kmes)
    ]
    links = [_link(pair) for pair in combinations(saes, 2)]
    path = directory / NAME
    path.write_text(tomli_w.dumps({"kme": sections, "link": links}), encoding="utf-8")
    ports = {section["id"]: section["port"] for section in sections}
    configs = {
        sae: _write_sae(pki, sae, kme, _url(hosts[0], ports[kme]), [s for s in saes if s != sae])
        for sae, kme in homes.items()
    }
    return Trial(pki, path, configs)


def _kme(pki: CertificateFiles, kme: str, port: int, homes: dict[str, str]) -> dict[str, Any]:
    return {
        "id": kme,
        "port": port,
        **_files(pki, kme),
        "saes": [sae for sae, home in homes.items() if home == kme],
    }


def _link(pair: tuple[str, str]) -> dict[str, Any]:
    return {"saes": list(pair), "rate_bps": RATE_BPS, "initial_keys": INITIAL_KEYS}


def _listen(host: str) -> dict[str, Any]:
    """Where a KME listens; nothing is said of the loopback, the default."""
    if host in HOSTS:
        return {}
    return {"host": EVERYWHERE_IPV6 if ":" in host else EVERYWHERE}


def _url(host: str, port: int) -> str:
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _write_sae(pki: CertificateFiles, sae: str, kme: str, url: str, peers: list[str]) -> Path:
    path = pki.certificates[sae][0].with_suffix(".toml")
    values = {
        "kme_url": url,
        "kme_id": kme,
        **_files(pki, sae),
        "sae_id": sae,
        "peers": peers,
    }
    path.write_text(tomli_w.dumps(values), encoding="utf-8")
    return path


def _files(pki: CertificateFiles, name: str) -> dict[str, str]:
    certificate, key = pki.certificates[name]
    return {"ca": pki.ca.name, "certificate": certificate.name, "key": key.name}
