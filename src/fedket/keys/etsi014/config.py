"""What an application (SAE) must know to use its KME, as a table of a TOML file.

Paths are relative to the file they stand in.
"""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from fedket.schema import Table

LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST_NAME = re.compile(rf"{LABEL}(\.{LABEL})*")
KME_URL = re.compile(
    r"https://(?P<host>[^:/?#@\[\]]+|\[[^\]]+\])(:(?P<port>[0-9]{1,5}))?(/[^?#]*)?"
)


def _beside(path: Path, info: Any) -> Path:  # beartype cannot check ValidationInfo
    return Path((info.context or {}).get("directory", "")) / path


def is_host(name: str) -> bool:
    """Whether a name is a host name or an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return HOST_NAME.fullmatch(name) is not None
    return True


def _host(name: str) -> str:
    if not is_host(name):
        raise ValueError("it should be a host name or an address")
    return name


def _https(url: str) -> str:
    parts = KME_URL.fullmatch(url)
    if not parts or not is_host(parts["host"].strip("[]")) or int(parts["port"] or 443) > 65535:
        raise ValueError(
            "it should be `https://HOST`, `https://HOST:PORT` or `https://HOST:PORT/PATH`"
        )
    return url.rstrip("/")


def _id(name: str) -> str:
    if name in (".", ".."):  # a path segment of this name disappears on the way
        raise ValueError("it should be a name other than `.` and `..`")
    return name


LocalPath = Annotated[Path, AfterValidator(_beside)]
Id = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_id)]
"""Name of a KME or SAE, free-form."""
Host = Annotated[str, AfterValidator(_host)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


NOWHERE = Path()


class SaeConfig(Table):
    """One application and its KME."""

    kme_url: Annotated[str, AfterValidator(_https)]
    """`https://HOST:PORT`, and what stands before `/api/v1/keys` there, if anything does."""
    kme_id: str = ""
    """The KME's ID, which its status must name; empty means not checked."""
    server_name: Host | Literal[""] = ""
    """Name in the KME's certificate, if it is not the host in `kme_url`."""
    ca: LocalPath = NOWHERE
    """Certificates (PEM) that the KME's certificate must lead to."""
    certificate: LocalPath = NOWHERE
    """This application's certificate, then its intermediate ones (PEM)."""
    key: LocalPath = NOWHERE
    """The certificate's private key (PEM, not encrypted)."""
    psk: LocalPath | None = None
    """Pre-shared key of TLS in hexadecimal, in place of these three, where a key provider that
    speaks SKIP wants it; its identity is `sae_id`. Takes Python 3.13."""
    sae_id: Id
    """This application's ID, as its certificate names it."""
    peers: tuple[Id, ...] = ()
    """IDs of the applications at the other ends of the links."""
    links: Mapping[Id, LocalPath] = {}
    """Links with a KME of their own: a peer -> a file like this one, for that link alone, with the
    names that its two ends have there as `sae_id` and `peers`."""
    protocol: Literal["etsi014", "skip"] = "etsi014"
    """What the KME speaks: ETSI GS QKD 014, or Cisco's SKIP."""
    method: Literal["POST", "GET"] = "POST"
    """How keys are asked for; with GET a call names one key."""
    key_ids: Literal["objects", "strings"] = "objects"
    """How a POST names keys: `{"key_IDs": [{"key_ID": "…"}]}`, as the standard has it, or
    `{"key_IDs": ["…"]}`."""
    key_bits: Annotated[int, Field(ge=0, multiple_of=8, lt=2**23)] = 0
    """Size of the keys to ask for; 0 is up to what the KME says it allows."""
    keys_per_call: Annotated[int, Field(ge=0, le=65536)] = 0
    """Most keys to ask for in one call; 0 is what the KME says it allows."""
    connections: Annotated[int, Field(ge=1, le=64)] = 4
    """Calls under way at the same time, where one does not suffice."""
    timeout_s: Seconds = 10.0
    """Longest wait for a connection, for the next bytes, and for a whole answer's body."""
    need_bytes: Annotated[int, Field(ge=0)] = 0
    """Key bytes a run needs per peer and round, for `fedket keys doctor`; 0 means not checked."""
    need_rate_bps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Key rate a run needs per peer in bit/s, for `fedket keys doctor`; 0 means not checked."""

    @property
    def secret(self) -> Path:
        """The file that nobody else may read."""
        return self.psk or self.key

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that it names."""
        return (self.psk,) if self.psk else (self.ca, self.certificate, self.key)

    @model_validator(mode="after")
    def _shows_itself(self) -> "SaeConfig":
        if NOWHERE in self.files or (self.psk and self.protocol != "skip"):
            raise ValueError(
                'name `ca`, `certificate` and `key`; or, with `protocol = "skip"`, `psk` alone'
            )
        return self
