"""Writes the pages of this folder that are read off the code: `python -m docs.generate`."""

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import fedket
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.reference import Entry, Key, entry_of, tables
from fedket.kinds import BUILT_IN
from fedket.reproduce.questions import question_pages, read_answers
from fedket.reproduce.store import read_all


def pages() -> dict[str, str]:
    """Generated pages, by name."""
    top = Path(__file__).parents[1] / "results"
    questions = question_pages(read_answers(top), read_all(top), "../../results")
    return {
        "reference.md": reference_page(),
        "python.md": python_page(),
        **{f"questions/{name}": text for name, text in questions.items()},
    }


def entries() -> Iterator[Entry]:
    """All tables and built-in kinds, in the order of a configuration, then functions."""
    for field in ExperimentConfig.model_fields:
        if field in BUILT_IN:
            yield from (entry_of(f"{field}.{kind}") for kind in BUILT_IN[field])
        elif field in tables():
            yield entry_of(field)
    for group in BUILT_IN:
        if group not in ExperimentConfig.model_fields:
            yield from (entry_of(f"{group}.{kind}") for kind in BUILT_IN[group])


def reference_page() -> str:
    """The configuration reference; kinds with the same keys share a table."""
    lines, group = [REFERENCE.strip(), ""], ""
    for keys, together in groupby(entries(), key=lambda entry: entry.keys and _own(entry.keys)):
        alike = list(together)
        table, _, kind = alike[0].name.partition(".")
        if table != group:
            lines += [f"## {_title(table)}", ""]
            group = table
        if not kind:
            lines += [alike[0].meaning, ""]
        else:
            lines += [f"- `{e.name.partition('.')[2]}`: {e.meaning}" for e in alike] + [""]
        lines += _rows(keys)
    return "\n".join(lines).rstrip() + "\n"


REFERENCE = """
# Reference of the configuration

Generated from the code by `make reference`; `fedket show --kind NAME` prints a part of it. The
guide with examples is [configuration.md](configuration.md); how to bring a kind of your own,
[extend.md](extend.md): wherever a kind is named, `FILE.py:NAME` names one of yours.
"""


def _title(table: str) -> str:
    if table not in ExperimentConfig.model_fields:
        return f"Names of a {table}"
    return f"`[[{table}]]`" if table == "transform" else f"`[{table}]`"


def _own(keys: tuple[Key, ...]) -> tuple[Key, ...]:
    """A kind's keys but for its name."""
    return tuple(key for key in keys if key.name != "kind")


def _rows(keys: tuple[Key, ...]) -> list[str]:
    if not keys:
        return []
    rows = [
        [f"`{k.name}`", f"`{k.default}`" if k.default else "", k.values, k.meaning] for k in keys
    ]
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    table = [["key", "default", "values", ""], ["---"] * 4, *escaped]
    return [*("| " + " | ".join(row) + " |" for row in table), ""]


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


def python_page() -> str:
    """The names at the top of `fedket`."""
    rows = [f"| `{n.name}` | `{n.home}` | {n.meaning.replace('|', '&#124;')} |"
            for n in public_names()]  # fmt: skip
    table = ["| `import fedket as fk` | from | |", "| --- | --- | --- |", *rows]
    return "\n".join([PYTHON.strip(), "", *table]) + "\n"


PYTHON = """
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


if __name__ == "__main__":
    for name, text in pages().items():
        page = Path(__file__).parent / name
        page.parent.mkdir(exist_ok=True)
        page.write_text(text, encoding="utf-8")
