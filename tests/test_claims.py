"""Every test that the documentation names is there: a claim has a test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ["docs/security.md", "docs/deploy.md"]
NAMED = re.compile(r"\btest_\w+(?:\.py)?")


@pytest.fixture(scope="module")
def existing():
    """Names of all test functions and files."""
    files = list((ROOT / "tests").rglob("test_*.py"))
    functions = re.findall(r"^def (test_\w+)", "\n".join(map(Path.read_text, files)), re.MULTILINE)
    return {*functions, *(file.name for file in files)}


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_claims_has_a_test(page, existing):
    named = set(NAMED.findall((ROOT / page).read_text(encoding="utf-8")))
    assert named, page
    assert named <= existing


def test_every_row_of_who_can_do_what_refers_to_a_test():
    page = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    section = page.partition("## Who can do what")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.*) \|$", section, re.MULTILINE)[1:]
    notes = set(re.findall(r"^(\d+)\. `test_", section, re.MULTILINE))
    cited = [set(re.findall(r"\[(\d+)\](?!\()", row)) for row in rows]
    assert len(rows) >= 10
    assert all(cited)
    assert set.union(*cited) == notes
