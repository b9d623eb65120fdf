"""What a party installs is pinned with hashes, has the versions of CI, and its licences listed."""

import re
import tomllib

import pytest

PINNED = re.compile(r"([\w.-]+)==([^\s;]+)(?: ; ([^\\]+))?")


def name_of(text):
    """A package's name, in its one spelling."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", text)[0]).lower()


@pytest.fixture(scope="module")
def locked(repository):
    """Package -> (version, for which systems, hashes)."""
    text = (repository / "locked.txt").read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, version, marker = PINNED.match(line).groups()
            found[name_of(name)] = version, marker or "", re.findall(r"--hash=(\S+)", line)
    return found


def test_every_package_has_hashes_and_no_line_names_an_index(repository, locked):
    for name, (_, _, hashes) in locked.items():
        assert hashes, name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes)
    for file in ("locked.txt", "constraints.txt"):
        assert not re.search(r"://|--(extra-)?index|--find-links", (repository / file).read_text())


def test_versions_are_those_of_the_constraints(repository, locked):
    lines = (repository / "constraints.txt").read_text().splitlines()
    constraints = {name_of(line): line.partition("==")[2] for line in lines if line[0] != "#"}
    both = locked.keys() & constraints.keys()
    assert {name: locked[name][0] for name in both} == {name: constraints[name] for name in both}
    assert len(both) > 80


def test_it_holds_what_a_party_and_the_build_need(repository, locked):
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    needed = project["project"]["dependencies"] + project["build-system"]["requires"]
    for extra in ("flare", "kme", "qasm", "vision", "watch"):
        needed += extras[extra]
    assert {name_of(requirement) for requirement in needed} <= locked.keys()


def test_the_page_of_licences_is_about_what_is_locked(repository, locked):
    page = (repository / "docs" / "licences.md").read_text()
    rows = re.findall(r"^\| ([\w.-]+) \| (\S+) \| (.+) \|$", page, re.MULTILINE)
    listed = {name_of(name): version for name, version, _ in rows if name != "package"}
    here = {n: version for n, (version, marker, _) in locked.items() if "win32" not in marker}
    assert listed == here
