"""The pages of the documentation say what the code does; `make docs` sees to their links."""

import re
from pathlib import Path

import pytest

import fedket as fk
from fedket.experiment.shipped import shipped_experiments
from tests import command_lines

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
PAPERS = {
    "qfedfisher": "qfedfisher",
    "qunetqfl": "qunetqfl",
    "qfed": "quantum_train",
    "chen-yoo": "chen_yoo",
}
"""Page -> its circuit."""


def commands_of(page):
    """Lines of a page's shell blocks that call fedket."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip().startswith("fedket ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_one_of_ours(page):
    for line in commands_of(page):
        command_lines.check(line)


def test_experiments_that_pages_name_are_shipped():
    lines = "\n".join(line for page in PAGES for line in commands_of(page))
    shipped = {experiment.name for experiment in shipped_experiments()}
    named = set(re.findall(r"^fedket (?:run|show) ([a-z_]+/[\w.-]+)", lines, re.MULTILINE))
    assert named
    assert named <= shipped
    papers = set(re.findall(r"^fedket reproduce (\w+)(?: |$)", lines, re.MULTILINE))
    assert papers <= {name.partition("/")[0] for name in shipped}
    assert len(papers) >= len(PAPERS)


@pytest.mark.parametrize("paper", PAPERS)
def test_a_papers_page_draws_its_circuit(paper):
    (drawn,) = re.findall(r"```text\n(.*?)\n```", (DOCS / f"papers/{paper}.md").read_text(), re.S)
    circuit = getattr(fk.ansatz, PAPERS[paper])(len(drawn.splitlines()), 1)
    assert fk.draw_circuit(circuit).splitlines()[: circuit.num_qubits] == drawn.splitlines()
