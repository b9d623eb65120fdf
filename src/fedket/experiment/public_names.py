"""The names at the top of `fedket`, each with the first sentence of its documentation."""

import ast
import inspect
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import fedket


class PublicName(NamedTuple):
    """A name at the top.

    Attributes:
        name: As in `fedket.NAME`.
        home: Module that it is taken from.
        meaning: First sentence of its docstring, or of the text below it.
    """

    name: str
    home: str
    meaning: str


def public_names() -> list[PublicName]:
    """All of them, by home; read off the stub, where each is written once."""
    stub = Path(fedket.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    found = []
    for statement in ast.parse(stub).body:
        if isinstance(statement, ast.ImportFrom) and statement.module != "_version":
            home = f"fedket.{statement.module}"
            found += [PublicName(a.name, home, _meaning(home, a.name)) for a in statement.names]
    return found


def as_markdown() -> str:
    """The page of the names."""
    rows = [f"| `{n.name}` | `{n.home}` | {n.meaning.replace('|', '&#124;')} |"
            for n in public_names()]  # fmt: skip
    table = ["| `import fedket as fk` | from | |", "| --- | --- | --- |", *rows]
    return "\n".join([HEAD.strip(), "", *table]) + "\n"


HEAD = """
# Names at the top

Generated from the code by `make reference`. Docstrings say the rest: shapes, units, ranges, errors.
"""


def _meaning(home: str, name: str) -> str:
    """The first sentence about a name; a type's alias has its text below it."""
    text = _text_below(home, name) or inspect.getdoc(getattr(import_module(home), name)) or ""
    return " ".join(text.partition("\n\n")[0].split())


def _text_below(home: str, name: str) -> str:
    """The text below an assignment in a module."""
    body = ast.parse(inspect.getsource(import_module(home))).body
    for statement, below in pairwise(body):
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            found = below.value if isinstance(below, ast.Expr) else None
            return str(found.value) if isinstance(found, ast.Constant) else ""
    return ""
