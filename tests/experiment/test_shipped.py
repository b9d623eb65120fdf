"""Experiments are found by name, below folders of papers too."""

from pathlib import Path

import pytest

from fedket.errors import ConfigError
from fedket.experiment import shipped
from fedket.experiment.shipped import experiments_directory, find_experiment, shipped_experiments

ROWS = """
description = "shared"
[rows."q8"]
description = "own"
[rows."q16"]
"""


@pytest.fixture
def top(tmp_path, monkeypatch):
    """An `experiments/` of one experiment and one paper, from outside of it."""
    (tmp_path / "paper").mkdir()
    (tmp_path / "zoo.toml").write_text('description = "first"')
    for name in ("b-row", "a-row"):
        (tmp_path / "paper" / f"{name}.toml").write_text(f'description = "{name}"')
    (tmp_path / "paper" / "table.toml").write_text(ROWS)
    monkeypatch.setattr(shipped, "experiments_directory", lambda: tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


def test_those_of_no_paper_come_first(top):
    found = shipped_experiments()
    rows = ["a-row", "b-row", "q8", "q16"]
    assert [s.name for s in found] == ["zoo", *(f"paper/{row}" for row in rows)]
    assert [s.paper for s in found] == ["", *["paper"] * 4]
    assert [s.description for s in found] == ["first", "a-row", "b-row", "own", "shared"]


def test_a_name_finds_its_file_and_a_file_goes_before_a_name(top):
    assert find_experiment(Path("zoo")) == top / "zoo.toml"
    assert find_experiment(Path("paper/a-row")) == top / "paper" / "a-row.toml"
    assert find_experiment(Path("paper/q16")) == top / "paper" / "table.toml:q16"
    Path("zoo").write_text("")
    assert find_experiment(Path("zoo")) == Path("zoo")


@pytest.mark.parametrize("name", ["paper/a-rwo", "a-row", "papr/a-row"])
def test_a_near_name_is_told(name, top):
    with pytest.raises(ConfigError, match="did you mean `paper/a-row`"):
        find_experiment(Path(name))


@pytest.mark.parametrize("name", ["far/away.toml", "nothing-like-it", "own.toml:paper/q8"])
def test_another_name_is_left_alone(name, top):
    Path("own.toml").write_text(ROWS)
    assert find_experiment(Path(name)) == Path(name)


def test_few_files_hold_all_that_is_shipped():
    assert len(list(experiments_directory().rglob("*.toml"))) <= 20
    names = [s.name for s in shipped_experiments()]
    assert len(names) == len(set(names))
    assert len(names) >= 68
