"""The ground of every configuration file: its tables, its reader, and one line for what is wrong.

A table is a frozen pydantic model that knows no key but its own. What pydantic finds wrong becomes
one line that names the field, what arrived and what is allowed (`explain`).
"""

import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from fedket.errors import ConfigError, nearest

PositiveInt = Annotated[int, Field(ge=1, lt=2**31)]
"""A key that is a whole number from 1."""

PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A key that is a finite number above 0."""

FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
NonNegativeInt = Annotated[int, Field(ge=0, lt=2**31)]
"""A key that is a whole number from 0."""

Seed = NonNegativeInt


def _is_beside(file: str) -> str:
    path = PurePosixPath(file)
    if not file or path.is_absolute() or ".." in path.parts:
        raise ValueError("the value should be a file beside the experiment, or in a folder below")
    return file


FileBeside = Annotated[str, AfterValidator(_is_beside)]
"""A key that names a file beside the experiment, or in a folder below."""

FREE = "decides no number"
"""Marks a field that a run may change and still be the same: `Annotated[str, FREE]`."""

M = TypeVar("M", bound=BaseModel)

SHOWN = 60
"""Characters of a wrong value that a message repeats."""

MAX_CHARACTERS, MAX_DOTS, MAX_DEPTH = 2**20, 1000, 64
"""Of a TOML text, of one of its lines, and tables in tables. Python's parser takes minutes for a
key of some ten thousand dotted parts, and what follows it cannot recurse as deep."""

TOO_DEEP = f"it is more than {MAX_DEPTH} tables deep"
BEYOND_64_BITS = "an integer has more than 64 bits, which TOML does not allow"


class Table(BaseModel):
    """Base of all tables of configuration files; a field's docstring stands below it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def read_toml(
    path: Path,
    what: str = "file",
    hint: str = "",
    parse: Callable[[str], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Read a TOML file into nested values.

    Args:
        path: The file; a byte order mark at its beginning does no harm.
        what: What it should be, for messages.
        hint: What to do when there is none.
        parse: Makes values of the text, `parse_toml` unless given.

    Raises:
        ConfigError: There is no such file, or it is not TOML.
    """
    try:
        return (parse or parse_toml)(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"no {what} {path}{hint and f'; {hint}'}") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a directory; name a {what} (TOML)") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as such"
        ) from None
    except ValueError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path} is not a readable file: {error.strerror}") from None


def read_beside(path: Path, key: str, what: str) -> str:
    """The text of a file that a key names; `ConfigError` with key and path if there is none.

    Args:
        path: Where it lies.
        key: The key.
        what: What the file should be, in words.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{key}: {path} is not a readable text file "
            f"({getattr(error, 'strerror', None) or 'not UTF-8'}); put {what} beside the experiment"
        ) from None


def parse_toml(text: str) -> dict[str, Any]:
    """Nested values of a TOML text, none of them too deep or too large for JSON.

    Raises:
        ValueError: It is not TOML, or more than a configuration ever holds; the reason in one line.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has more than {MAX_CHARACTERS} characters")
    if any(line.count(".") > MAX_DOTS for line in text.splitlines()):
        raise ValueError(f"a line has more than {MAX_DOTS} dots")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except ValueError:  # Python converts no more than some thousand digits
        raise ValueError(BEYOND_64_BITS) from None
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    _check_depth(values)
    return values


def _check_depth(values: dict[str, Any]) -> None:
    level: list[Any] = [values]
    for _ in range(MAX_DEPTH):
        if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in level):
            raise ValueError(BEYOND_64_BITS)
        tables = [value.values() for value in level if isinstance(value, dict)]
        lists = [value for value in level if isinstance(value, list)]
        level = [inner for outer in (*tables, *lists) for inner in outer]
    if level:
        raise ValueError(TOO_DEEP)


def read_table(path: Path, model: type[M]) -> M:
    """Read a TOML file as one table.

    Raises:
        ConfigError: Naming the file, the field, what arrived and what is allowed.
    """
    text = json.dumps(read_toml(path, hint="name a TOML file"), default=str)
    try:
        return model.model_validate_json(text, context={"directory": path.parent})
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error, model)}") from None


def explain(
    error: ValidationError,
    model: type[BaseModel],
    prefix: str = "",
    owners: Callable[[str], str] = lambda _: "",
) -> str:
    """Describe the first problem of a table; unknown keys come before wrong values.

    Args:
        error: What pydantic found.
        model: The table that it found it in.
        prefix: Path of that table in its file; empty for the whole file.
        owners: Key -> whose it is, in words, if not this table's.
    """
    problems = error.errors(include_url=False)
    problem = min(problems, key=lambda p: p["type"] != "extra_forbidden")
    path = [str(part) for part in problem["loc"]]
    if problem["type"] == "extra_forbidden":
        return _unknown(path, model, prefix, owners)
    return _wrong(problem, ".".join([prefix, *path] if prefix else path))


def show_value(value: Any) -> str:
    """A value as TOML spells it, not too long."""
    return shortened(json.dumps(value, default=str, ensure_ascii=False))


def shortened(text: str) -> str:
    """The beginning of a text that a message repeats."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def inner_tables(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Field and class of each plain table inside a table."""
    for name, field in model.model_fields.items():
        for annotation in (field.annotation, *get_args(field.annotation)):
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                yield name, annotation


def _unknown(
    path: list[str], model: type[BaseModel], prefix: str, owners: Callable[[str], str]
) -> str:
    """Say where an unknown key belongs, or which known one is nearest."""
    *above, key = path
    above = [prefix, *above] if prefix else above
    full, tables = shortened(".".join([*above, key])), dict(inner_tables(model))
    table = tables.get(path[0], model) if len(path) > 1 else model
    listed = f"(known: {', '.join(table.model_fields)})"
    if owned := owners(key):
        return f"unknown key `{full}`: {owned} {listed}"
    homes = [f"`{name}.{key}`" for name, t in tables.items() if key in t.model_fields]
    if above and not prefix and key in model.model_fields:
        homes.append(f"`{key}` above the first [table]")
    if not homes and (near := nearest(key, table.model_fields, 0.5)):
        homes = [f"`{'.'.join([*above, near])}`"]
    meant = f"; did you mean {' or '.join(homes)}?" if homes else ""
    return f"unknown key `{full}`{meant} {listed}"


def _wrong(problem: ErrorDetails, field: str) -> str:
    """Say what a value should be and what it is."""
    if not field and problem["type"] != "json_invalid":
        return problem["msg"].removeprefix("Value error, ")
    match problem["type"]:
        case "json_invalid":
            return f"a text is not valid Unicode ({problem['msg']})"
        case "missing":
            return f"`{field}` is missing"
        case "model_type" | "dict_type":
            should = "be a table"
        case _:
            should = problem["msg"].partition(" should ")[2] or problem["msg"]
    return f"`{shortened(field)}` should {should}, got {show_value(problem['input'])}"
