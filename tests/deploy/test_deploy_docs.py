"""docs/deploy.md: its commands exist, its links lead somewhere, its names are the files' keys."""

import re
import tomllib

import pytest
from tests import command_lines

from fedket.cli.failures import UsageError
from fedket.deploy.files import FederationFile, SiteFile


@pytest.fixture(scope="module")
def page(repository):
    return (repository / "docs" / "deploy.md").read_text()


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_every_command_of_the_page_is_one_of_ours(page):
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    ours = [line.strip() for line in lines if line.strip().startswith("fedket ")]
    ours += [line for line in re.findall(r"`(fedket [a-z].*?)`", page) if "…" not in line]
    assert len(ours) > 10
    for line in ours:
        command_lines.check(line)


@pytest.mark.parametrize(
    "line", ["fedket deploy begin x", "fedket deploy start", "fedket deploy run x --no", "fedket x"]
)
def test_the_check_above_finds_commands_that_do_not_exist(line):
    with pytest.raises(UsageError):
        command_lines.check(line)


def test_every_link_of_the_page_leads_somewhere(page, repository):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page):
        assert (repository / "docs" / target).exists(), target


def test_files_on_the_page_have_keys_that_exist(page):
    known = {*FederationFile.model_fields, *SiteFile.model_fields}
    shown = [tomllib.loads(block) for block in blocks(page, "toml")]
    assert shown
    for values in shown:
        assert set(values) <= known


def test_the_page_names_every_deadline_and_its_default(page):
    for name in ("phase_s", "training_s", "join_s", "silent_s"):
        default = FederationFile.model_fields[name].default
        assert re.search(rf"`{name}`[^\n]*\b{default:g}\b", page.replace(",", "")), name
