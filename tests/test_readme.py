"""What the README shows is what the code does."""

import re
import tomllib

import yaml
from docs.generate import public_names

import fedket


def python_block(repository):
    (block,) = re.findall(r"```python\n(.*?)```", (repository / "README.md").read_text(), re.DOTALL)
    return block


def test_the_twelve_lines_run_and_learn(repository, capsys):
    exec(python_block(repository), {})  # noqa: S102 - our own README
    percent = float(re.match(r"([\d.]+)%", capsys.readouterr().out).group(1))
    assert percent > 80


def test_every_public_name_can_be_imported_and_is_documented():
    names = {public.name: public.meaning for public in public_names()}
    assert {*names, "__version__"} == set(fedket.__all__)
    for name, meaning in names.items():
        assert getattr(fedket, name) is not None
        assert meaning, name


def test_every_shell_command_of_the_readme_exists(repository):
    """Both make targets and every subcommand are named, and are real."""
    text = (repository / "README.md").read_text()
    makefile = (repository / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", text, re.MULTILINE):
        assert f"\n{target}:" in makefile
    from fedket.cli.app import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert known
    assert set(re.findall(r"^fedket (\w+)", text, re.MULTILINE)) <= known


def test_the_citation_names_this_version(repository):
    citation = yaml.safe_load((repository / "CITATION.cff").read_text())
    assert citation["version"] == fedket.__version__
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert citation["license"] == project["license"]
    assert citation["keywords"] == project["keywords"]
