"""`fedket sweep`: a table for people, one object for machines, one line for a mistake."""

import json
import sys

import pytest
import tomli_w

from fedket import cli
from tests.experiment.tiny import contents, values_of

pytestmark = pytest.mark.usefixtures("no_pool")


@pytest.fixture
def fedket(tmp_path, blobs, monkeypatch, capsys):
    """`fedket("sweep", "tiny.toml")` in a folder with a small experiment."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(tomli_w.dumps(values_of(blobs, "federation.rounds=2")))

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["fedket", *map(str, args)])
        code = cli.execute()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_failures_are_listed_and_the_others_are_there(fedket, blobs, tmp_path):
    paths = f"data.path='{blobs}','nowhere.npz'"
    code, output, errors = fedket("sweep", "tiny.toml", "--grid", paths, "--seeds", "4,5")
    assert code == 1
    folder = tmp_path / "runs" / "tiny-sweep"
    lines = errors.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("fedket: failed: path=") for line in lines)
    assert all("nowhere.npz" in line for line in lines)
    assert "2 of 4 finished, 2 failed" in output
    assert "test accuracy" in output
    assert (folder / "settings.csv").read_text().count("\n") == 2
    assert (folder / "report.html").exists()
    assert (folder / "runs.csv").read_text().count("finished") == 2
    args = ("sweep", "tiny.toml", "--grid", f"data.path='{blobs}'", "--seeds", "4,5", "--json")
    before = contents(folder)
    code, output, errors = fedket(*args)
    assert (code, errors) == (0, "")
    assert output.count("\n") == 1
    values = json.loads(output)
    assert [row["seed"] for row in values["rows"]] == [4, 5]
    assert all(row["status"] == "finished" for row in values["rows"])
    assert [row["seeds"] for row in values["settings"]] == [2]
    after = contents(folder)
    changed = {path for path in after if after[path] != before.get(path)}
    assert {path.rpartition("/")[2] for path in changed} <= {
        "runs.csv", "rounds.csv", "settings.csv", "sweep.json", "report.html"
    }  # fmt: skip


def test_a_dry_run_shows_runs_groups_and_time_and_writes_nothing(fedket, tmp_path):
    before = contents(tmp_path)
    grid = ("--grid", "strategy.kind=fed_avg,fed_adam", "--grid", "optimizer.learning_rate=0.1,0.2")
    code, output, errors = fedket("sweep", "tiny.toml", *grid, "--seeds", "2", "--dry-run")
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    assert lines[0].split() == ["strategy.kind", "optimizer.learning_rate", "seed", "directory"]
    assert lines[1].split() == [
        "fed_avg", "0.1", "0", "runs/tiny-sweep/strategy=fed_avg,learning_rate=0.1/seed-0"
    ]  # fmt: skip
    assert "8, 0 of them finished" in output
    assert "2 groups of runs that share compiled programs" in output
    assert "about" in lines[-1]
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--grid", "partition.alhpa=1"], "`partition.alhpa`"),
        (["--grid", "strategy.kind=fed_avg,fed_avgg"], "did you mean `fed_avg`"),
        (["--grid", "strategy.kind"], "--grid takes TABLE.KEY=VALUE"),
        (["--grid", "a.b=1", "--grid", "a.b=2"], "names `a.b` twice"),
        (["--seeds", "x"], "--seeds takes how many, or which"),
        (["--seeds", "0"], "how many, from 1"),
        (["--seeds", "1,1"], "distinct"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(args, complaint, fedket, tmp_path):
    before = contents(tmp_path)
    code, output, errors = fedket("sweep", "tiny.toml", *args)
    assert (code, output) == (2, "")
    assert errors.startswith("fedket: error: ")
    assert complaint in errors
    assert errors.count("\n") == 1
    assert contents(tmp_path) == before
