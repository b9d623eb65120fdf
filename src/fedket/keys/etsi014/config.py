"""What an application (SAE) must know to use its KME, and how TOML files become such tables.

Paths are relative to the file they stand in. Unknown keys are errors that name the nearest one.
"""

import ipaddress
import json
import re
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from fedket.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)

LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST_NAME = re.compile(rf"{LABEL}(\.{LABEL})*")
KME_URL = re.compile(r"https://(?P<host>[^:/?#@\[\]]+|\[[^\]]+\])(:(?P<port>[0-9]{1,5}))?/?")


class Section(BaseModel):
    """Base of all tables of a configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


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
        raise ValueError("be a host name or an address")
    return name


def _https(url: str) -> str:
    parts = KME_URL.fullmatch(url)
    if not parts or not is_host(parts["host"].strip("[]")) or int(parts["port"] or 443) > 65535:
        raise ValueError("be `https://HOST` or `https://HOST:PORT`")
    return url.rstrip("/")


def _id(name: str) -> str:
    if name in (".", ".."):  # a path segment of this name disappears on the way
        raise ValueError("be a name other than `.` and `..`")
    return name


LocalPath = Annotated[Path, AfterValidator(_beside)]
Id = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_id)]
"""Name of a KME or SAE, free-form."""
Host = Annotated[str, AfterValidator(_host)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class SaeConfig(Section):
    """One application and its KME."""

    kme_url: Annotated[str, AfterValidator(_https)]
    kme_id: str = ""
    """The KME's ID, which its status must name; empty means not checked."""
    server_name: Host | Literal[""] = ""
    """Name in the KME's certificate, if it is not the host in `kme_url`."""
    ca: LocalPath
    """Certificates (PEM) that the KME's certificate must lead to."""
    certificate: LocalPath
    """This application's certificate, then its intermediate ones (PEM)."""
    key: LocalPath
    """The certificate's private key (PEM, not encrypted)."""
    sae_id: Id
    """This application's ID, as its certificate names it."""
    peers: tuple[Id, ...] = ()
    """IDs of the applications at the other ends of the links."""
    timeout_s: Seconds = 10.0
    """Longest wait for a connection, for the next bytes, and for a whole answer's body."""
    need_bytes: Annotated[int, Field(ge=0)] = 0
    """Key bytes a run needs per peer and round, for `fedket keys doctor`; 0 means not checked."""
    need_rate_bps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Key rate a run needs per peer in bit/s, for `fedket keys doctor`; 0 means not checked."""


def read_section(path: Path, model: type[Model]) -> Model:
    """Read a TOML file as one table.

    Raises:
        ConfigError: Naming the file, the field, what arrived and what is allowed.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"cannot read {path}: {reason}; name a TOML file") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    try:
        text = json.dumps(values, default=str)
        return model.model_validate_json(text, context={"directory": path.parent})
    except ValidationError as error:
        raise ConfigError(f"{path}: {_explain(error, model)}") from None


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Describe the first problem; unknown keys come before wrong values."""
    problems = error.errors(include_url=False)
    problem = min(problems, key=lambda p: p["type"] != "extra_forbidden")
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = list(_fields(model))
        near = get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.0)
        return f"unknown key `{field}`; did you mean `{near[0]}`? (known: {', '.join(known)})"
    if problem["type"] == "missing":
        return f"`{field}` is missing"
    should = problem["msg"].removeprefix("Value error, ").removeprefix("Input should ")
    if not field:
        return should
    return f"`{field}` should {should}, got {json.dumps(problem['input'], default=str)[:60]}"


def _fields(model: type[BaseModel]) -> Iterator[str]:
    """Names of a model's fields and of those of its tables."""
    for name, field in model.model_fields.items():
        yield name
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _fields(part)
