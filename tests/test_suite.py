"""Test modules stand alone: what several need has a module of its own, or is a fixture."""

import ast
from pathlib import Path

TESTS = Path(__file__).parent
MODULES = sorted(TESTS.rglob("*.py"))


def imported(path):
    """Last names of all modules that a file imports, and of what it imports from them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.rpartition(".")[2] for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield (node.module or "").rpartition(".")[2]
            yield from (alias.name for alias in node.names)


def test_no_test_module_is_imported():
    """Nor a conftest, whose fixtures pytest hands out; `fedket.TEST` is nobody's module."""
    names = {path.stem for path in MODULES if path.stem.startswith(("test_", "conftest"))}
    found = {path.relative_to(TESTS).as_posix(): names & set(imported(path)) for path in MODULES}
    assert {path: bad for path, bad in found.items() if bad} == {}
