"""docs/tutorial.md is run as it stands, in an empty folder; a figure with bands comes early."""

import re
import shlex
import sys

import pytest

from fedket import cli

UNTRIED = ("## Install", "## Sites")
"""Sections whose commands need another environment, or minutes."""
MOST = 15
"""Commands and lines of code from a clone to a figure with bands."""


@pytest.fixture(scope="module")
def sections(repository):
    """Heading -> blocks of a section: (language, name of the file if it is one, text)."""
    page = (repository / "docs/tutorial.md").read_text(encoding="utf-8")
    block = re.compile(r'^```(\w+)(?: title="(.*?)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0]: block.findall(part) for part in parts}


def test_the_tutorial_runs_as_it_stands(sections, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for heading, blocks in sections.items():
        for language, file, text in blocks if not heading.startswith(UNTRIED) else []:
            if file:
                (tmp_path / file).write_text(text)
            elif language == "python":
                exec(text, {})  # noqa: S102 - our own page
            for line in text.splitlines() if language == "sh" else []:
                monkeypatch.setattr(sys, "argv", shlex.split(line, comments=True))
                assert (cli.execute(), capsys.readouterr().err) == (0, ""), line
    assert "<svg" in (tmp_path / "runs/wine-sweep/report.html").read_text()
    assert (tmp_path / "trained.qasm").read_text().startswith("OPENQASM 3")


def test_a_figure_with_bands_takes_few_commands_and_lines(sections):
    text = "".join(text for blocks in sections.values() for _, _, text in blocks)
    before, sweep, _ = text.partition("fedket sweep")
    assert len((before + sweep).splitlines()) <= MOST
