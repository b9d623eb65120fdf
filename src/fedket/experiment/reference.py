"""The configuration reference, read off the sections themselves: `fedket show --kind`.

A key's meaning is the text below its field, its values are its type's. What is printed can
therefore not differ from what is accepted; `docs/generate.py` makes a page of it.
"""

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fedket.errors import ConfigError, meant
from fedket.experiment.config import ExperimentConfig
from fedket.kinds import BUILT_IN, find, kinds_of, made_of
from fedket.schema import Table, inner_tables, show_value
from fedket.section import FunctionOf, Kind, NamedFunction, Section

WORDS = {int: "integer", float: "number", str: "text", bool: "true or false"}


class Key(NamedTuple):
    """One key of a table.

    Attributes:
        name: As in TOML.
        default: As TOML spells it; empty if the key must be given.
        values: What it may be.
        meaning: The text below its field.
    """

    name: str
    default: str
    values: str
    meaning: str


class Entry(NamedTuple):
    """One table of the configuration, or one kind of a group.

    Attributes:
        name: `training`, or `strategy.fed_adam`.
        meaning: First sentences of its docstring.
        keys: Its keys.
    """

    name: str
    meaning: str
    keys: tuple[Key, ...]


def entry_of(name: str) -> Entry:
    """The entry of that name; of a user's own kind as `GROUP.FILE.py:CLASS`.

    Raises:
        ConfigError: There is none.
    """
    if name in tables():
        return Entry(name, _summary(tables()[name]), tuple(_keys(tables()[name])))
    group, _, kind = name.partition(".")
    if group not in BUILT_IN or not kind:
        known = [*tables(), *(f"{g}.{k}" for g in BUILT_IN for k in kinds_of(g))]
        raise ConfigError(f"no kind `{name}`{meant(name, known)} (`fedket list --kinds` names all)")
    found = find(group, kind, Path())
    sections = isinstance(found, type) and issubclass(found, Section)
    return Entry(name, _summary(found), tuple(_keys(found)) if sections else ())


def tables() -> dict[str, type[BaseModel]]:
    """Plain tables of an experiment, by name."""
    return {n: t for n, t in inner_tables(ExperimentConfig) if n not in BUILT_IN}


def _keys(table: type[BaseModel]) -> Iterator[Key]:
    texts = _field_texts(table)
    for name, field in table.model_fields.items():
        yield Key(name, _default(field), _values(field), texts.get(name, ""))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True, validated_data={})
    value = value.name if isinstance(value, NamedFunction) else value
    return "" if value is None else show_value(value)


def _values(field: FieldInfo) -> str:
    """What a key may be, in words."""
    for part in field.metadata:
        if isinstance(part, FunctionOf | Kind):
            kinds = *BUILT_IN[part.group], *made_of(part.group)
            return ", ".join(f"`{kind}`" for kind in kinds)
    words = _type_in_words(field.annotation)
    limits = [text for part in field.metadata if (text := _limit(part))]
    return " ".join([words, *limits])


def _type_in_words(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if annotation in WORDS:
        return WORDS[annotation]
    inner = [a for a in get_args(annotation) if a not in (Ellipsis, NoneType)]
    if get_origin(annotation) is tuple:
        return f"list of {', '.join(dict.fromkeys(map(_element, inner)))}"
    return " or ".join(dict.fromkeys(map(_element, inner))) or "table"


def _element(annotation: Any) -> str:
    """An element of a list: `Annotated[int, …]` counts as what it annotates."""
    base = get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation
    words = _type_in_words(base)
    return f"[{words.removeprefix('list of ')}]" if get_origin(base) is tuple else words


def _limit(part: Any) -> str:
    match part:
        case Ge():
            return f"from {part.ge}"
        case Gt():
            return f"above {part.gt}"
        case Lt():
            return "" if part.lt == 2**31 else f"below {part.lt}"
        case Le():
            return f"to {part.le:g}"
        case _:
            return ""


def _summary(thing: Any) -> str:
    """The first paragraph of a docstring, as one line."""
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())


def _field_texts(table: type[BaseModel]) -> dict[str, str]:
    """The text below each field, in the class or one it inherits from."""
    texts: dict[str, str] = {}
    for base in reversed(table.__mro__):
        if not (issubclass(base, Table) and base is not Table):
            continue
        try:
            body = ast.parse(dedent(inspect.getsource(base))).body[0]
        except OSError:  # made, not written: its fields have no text
            texts = {n: text for n, text in texts.items() if n not in base.__annotations__}
            continue
        statements = body.body if isinstance(body, ast.ClassDef) else []
        for field, below in pairwise(statements):
            named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            if named and text:
                texts[field.target.id] = " ".join(str(below.value.value).split())  # type: ignore[attr-defined]
    return texts
