"""The data formats of ETSI GS QKD 014 V1.1.1, section 6, as they go over the wire.

Names are the standard's. Sizes are in bits. Unknown fields are ignored, as vendors add some.
Validation is strict (no "1" for 1), and no message of it repeats what arrived.
"""

# ruff: noqa: N815  # the standard's spelling

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Call = Literal["status", "enc_keys", "dec_keys"]
"""The three calls of the standard."""

KeyId = Annotated[
    str, StringConstraints(pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")
]
"""A UUID in its usual spelling; upper and lower case mean the same."""

Bits = Annotated[int, Field(ge=1, lt=2**40)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Extensions = list[dict[str, Any]]

API = "/api/v1/keys"
"""Where the calls are: `API/{SAE ID, URL-encoded}/{call}`."""

SIZE_NOT_BYTES = "size shall be a multiple of 8"
UNKNOWN_EXTENSION = "not all extension_mandatory parameters are supported"
KEYS_NOT_FOUND = "one or more keys specified are not found on KME"


class Wire(BaseModel):
    """Base of all data formats."""

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)


class Status(Wire):
    """Section 6.1: what a KME can deliver for one pair of SAEs."""

    source_KME_ID: Name
    target_KME_ID: Name
    master_SAE_ID: Name
    slave_SAE_ID: Name
    key_size: Bits
    stored_key_count: Count
    max_key_count: Count
    max_key_per_request: Annotated[int, Field(ge=1, lt=2**31)]
    max_key_size: Bits
    min_key_size: Bits
    max_SAE_ID_count: Count
    """Most additional slave SAEs per request; 0 means that one key goes to one slave only."""


class KeyRequest(Wire):
    """Section 6.2: which keys a master asks for; everything has a default."""

    number: int | None = None
    size: int | None = None
    additional_slave_SAE_IDs: list[Name] | None = None
    extension_mandatory: Extensions | None = None
    extension_optional: Extensions | None = None


class KeyEntry(Wire):
    """One key of a container, in base64 (RFC 4648)."""

    key_ID: KeyId
    key: str = Field(repr=False)


class KeyContainer(Wire):
    """Section 6.3: the answer to both key calls."""

    keys: list[KeyEntry]


class KeyIdEntry(Wire):
    """One key that a slave asks for."""

    key_ID: KeyId


class KeyIds(Wire):
    """Section 6.4: the keys a slave asks for."""

    key_IDs: Annotated[list[KeyIdEntry], Field(min_length=1)]


class Problem(Wire):
    """Section 6.5: why a request failed."""

    message: str
