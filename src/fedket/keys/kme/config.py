"""What our own KME serves: key managers, their applications, links and limits.

One process may serve several KMEs of a simulated QKD network, each on its own port with its own
certificate. Key bytes come from the operating system; only their *rate* is that of a link.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedket.keys.etsi014.config import Host, Id, LocalPath
from fedket.schema import Table

KeyBits = Annotated[int, Field(ge=8, lt=2**23, multiple_of=8)]


class Limits(Table):
    """What the KMEs allow, in the words of the standard's status; sizes in bits."""

    key_size: KeyBits = 256
    min_key_size: KeyBits = 64
    max_key_size: KeyBits = 65536
    max_key_per_request: Annotated[int, Field(ge=1, le=65536)] = 128
    max_key_count: Annotated[int, Field(ge=1, lt=2**31)] = 1_000_000
    """Keys of `key_size` that a link's pool holds; more is thrown away."""
    max_sae_id_count: Annotated[int, Field(ge=0, le=1024)] = 0
    """Most additional slaves per request; 0 is no multicast."""
    shortage_status: Literal[400, 503] = 503
    """HTTP status when the pool holds too little; the standard prescribes none."""

    @model_validator(mode="after")
    def _rising(self) -> "Limits":
        if not self.min_key_size <= self.key_size <= self.max_key_size:
            raise ValueError("it should have min_key_size <= key_size <= max_key_size")
        return self


class KmeSection(Table):
    """One KME."""

    id: Id
    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """0 takes any free port."""
    ca: LocalPath
    """Certificates (PEM) that the applications' certificates must lead to."""
    certificate: LocalPath
    key: LocalPath
    saes: Annotated[tuple[Id, ...], Field(min_length=1)]
    """IDs of its applications, as the common name or an alternative name of their certificates."""


class LinkSection(Table):
    """A simulated QKD link (or route) between two applications."""

    saes: Annotated[tuple[Id, ...], Field(min_length=2, max_length=2)]
    """Its ends; twice the same ID lets an application probe its KME alone."""
    rate_bps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Secret key rate in bit/s."""
    initial_keys: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Keys of `key_size` in the pool at the start."""


class KmeConfig(Table):
    """Everything `fedket kme serve` needs."""

    kme: Annotated[tuple[KmeSection, ...], Field(min_length=1)]
    link: tuple[LinkSection, ...] = ()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _names_fit(self) -> "KmeConfig":
        saes = [sae for kme in self.kme for sae in kme.saes]
        pairs = [" and ".join(sorted(link.saes)) for link in self.link]
        _once("SAE", saes)
        _once("KME", [kme.id for kme in self.kme])
        _once("link", pairs)
        strangers = sorted({sae for link in self.link for sae in link.saes} - set(saes))
        if strangers:
            raise ValueError(f"no KME lists the SAE `{strangers[0]}` of a [[link]]")
        return self


def _once(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"every {what} is listed once, `{name}` is listed twice")
