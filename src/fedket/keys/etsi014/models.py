"""The data formats of ETSI GS QKD 014 V1.1.1, section 6, as they go over the wire.

Names are the standard's. Sizes are in bits. Unknown fields are ignored, as vendors add some.
What we send, and our own KME reads, is strict (`Wire`). What other people's KMEs answer is read
with patience (`Answer`): names in another spelling, numbers as strings and names as numbers, and
fields that nobody needs may be missing. No message of validation repeats what arrived.
"""

# ruff: noqa: N815  # the standard's spelling

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

Call = Literal["status", "enc_keys", "dec_keys"]
"""The three calls of the standard."""

KeyId = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")]
"""Whatever a KME calls a key: on one line, without spaces."""

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
    """Base of what goes over the wire."""

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)


class Answer(Wire):
    """Base of what KMEs answer; `key_ID` may be spelt `keyId`, 256 may be `"256"`."""

    model_config = ConfigDict(strict=False, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _spelt_as_here(cls, values: Any) -> Any:
        if isinstance(values, dict):
            names = {_folded(name): name for name in cls.model_fields}
            values = {names.get(_folded(k), k): v for k, v in values.items() if v is not None}
        return cls._completed(values)

    @classmethod
    def _completed(cls, values: Any) -> Any:
        """What a KME means that says it in another shape."""
        return values


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").casefold()


def _at_least_one(value: Any) -> Any:
    """Zero is how some KMEs say that there is no such limit."""
    return 1 if value in (0, "0") else value


class Status(Answer):
    """Section 6.1: what a KME can deliver for one pair of SAEs; what it leaves out is empty."""

    source_KME_ID: str = ""
    target_KME_ID: str = ""
    master_SAE_ID: str = ""
    slave_SAE_ID: str = ""
    key_size: Bits
    stored_key_count: int = -1
    """Keys of the usual size in the pool; negative if the KME does not say."""
    max_key_count: int = -1
    max_key_per_request: Annotated[int, BeforeValidator(_at_least_one), Field(ge=1)] = 1
    max_key_size: Bits = 0
    min_key_size: Annotated[Bits, BeforeValidator(_at_least_one)] = 0
    max_SAE_ID_count: int = 0
    """Most additional slave SAEs per request; 0 means that one key goes to one slave only."""

    @classmethod
    def _completed(cls, values: Any) -> Any:
        """A KME that names no limits has one size."""
        if not isinstance(values, dict) or "key_size" not in values:
            return values
        size = values["key_size"]
        return {"max_key_size": size, "min_key_size": size} | values


class KeyRequest(Wire):
    """Section 6.2: which keys a master asks for; everything has a default."""

    number: int | None = None
    size: int | None = None
    additional_slave_SAE_IDs: list[Name] | None = None
    extension_mandatory: Extensions | None = None
    extension_optional: Extensions | None = None


class KeyEntry(Answer):
    """One key of a container, in base64 (RFC 4648)."""

    key_ID: KeyId
    key: str = Field(repr=False)


class KeyContainer(Answer):
    """Section 6.3: the answer to both key calls; a list of keys or one key will do."""

    keys: list[KeyEntry]

    @classmethod
    def _completed(cls, values: Any) -> Any:
        if isinstance(values, list):
            return {"keys": values}
        if isinstance(values, dict) and isinstance(values.get("key"), str):
            return {"keys": [values]}
        return values


class KeyIdEntry(Wire):
    """One key that a slave asks for."""

    key_ID: KeyId


class KeyIds(Wire):
    """Section 6.4: the keys a slave asks for."""

    key_IDs: Annotated[list[KeyIdEntry], Field(min_length=1)]
