"""A small QKD network for tests: two KMEs, their applications, and ways to call them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
from faults import Faults

from fedket.keys.etsi014.client import Kme, connect
from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.tls import client_context
from fedket.keys.kme.certificates import CertificateFiles, write_certificates
from fedket.keys.kme.config import KmeConfig, Limits
from fedket.keys.kme.pools import KeyPools
from fedket.keys.kme.server import serving

ODD = "site 7/östlich %2F"
"""An SAE ID that must be URL-encoded."""

HOMES = {"alice": "kme-a", ODD: "kme-a", "bob": "kme-b", "carol": "kme-b"}
LINKS = [("alice", "bob"), ("alice", "carol"), (ODD, "bob"), ("alice", "alice")]
STRANGER = "mallory"
"""Has a certificate of the right CA, but no KME knows it."""

QUICK_S = 0.4
"""Timeout of calls that are meant to hang."""


class World(NamedTuple):
    """A network being served.

    Attributes:
        pools: Its keys.
        faults: What goes wrong now.
        urls: KME ID -> URL.
        pki: Everybody's certificates.
    """

    pools: KeyPools
    faults: Faults
    urls: dict[str, str]
    pki: CertificateFiles

    def sae(self, name: str, **changed: object) -> SaeConfig:
        """The configuration of an application."""
        certificate, key = self.pki.certificates[name]
        home = HOMES.get(name, "kme-a")
        values = {
            "kme_url": self.urls[home],
            "kme_id": home,
            "ca": self.pki.ca,
            "certificate": certificate,
            "key": key,
            "sae_id": name,
            "timeout_s": 20.0,
        }
        return SaeConfig.model_validate(values | changed)

    @contextmanager
    def client(self, name: str, **changed: object) -> Iterator[Kme]:
        with connect(self.sae(name, **changed)) as kme:
            yield kme

    def http(self, name: str) -> httpx.Client:
        """Any request, with an application's certificate."""
        config = self.sae(name)
        context = client_context(config)
        return httpx.Client(base_url=config.kme_url, verify=context, timeout=20, trust_env=False)

    def inject(self, *kinds: str, calls: tuple[str, ...] = (), offset_s: float = 0.0) -> None:
        """Replace the faults; without `calls` all calls misbehave."""
        self.faults.set(*kinds, calls=calls, offset_s=offset_s)


def make_pki(directory: Path) -> CertificateFiles:
    return write_certificates(directory, ["kme-a", "kme-b"], [*HOMES, STRANGER])


def make_config(pki: CertificateFiles, initial_keys: int = 1000, **limits: object) -> KmeConfig:
    kmes = [
        {
            "id": kme,
            "ca": pki.ca,
            "certificate": pki.certificates[kme][0],
            "key": pki.certificates[kme][1],
            "saes": tuple(sae for sae, home in HOMES.items() if home == kme),
        }
        for kme in ("kme-a", "kme-b")
    ]
    links = tuple({"saes": link, "initial_keys": initial_keys} for link in LINKS)
    chosen = Limits.model_validate({"max_key_per_request": 8, "max_key_size": 1024} | limits)
    return KmeConfig.model_validate({"kme": tuple(kmes), "link": links, "limits": chosen})


@contextmanager
def serve(pki: CertificateFiles, initial_keys: int = 1000, **limits: object) -> Iterator[World]:
    """Serve a network of its own."""
    pools, faults = KeyPools(make_config(pki, initial_keys, **limits)), Faults()
    with serving(pools, faults.application) as served:
        try:
            yield World(pools, faults, served.urls, pki)
        finally:
            faults.set()  # lets hanging calls end
