"""`fedket reproduce`: a table for people, one object for machines, one line for a mistake."""

import json
import os
import re
import signal
import sys
import time

import pytest

from fedket import cli
from tests.experiment.tiny import contents, start_fedket
from tests.reproduce.papers import write_row

pytestmark = pytest.mark.usefixtures("no_pool")


@pytest.fixture
def fedket(tmp_path, blobs, monkeypatch, capsys):
    """`fedket("reproduce", "paper")` in a folder with a paper of two rows, one without data."""
    monkeypatch.chdir(tmp_path)
    write_row(tmp_path / "paper", "good", blobs)
    write_row(tmp_path / "paper", "lost", "nowhere.npz")

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["fedket", *map(str, args)])
        code = cli.execute()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_table_is_printed_and_written(fedket, tmp_path):
    code, output, errors = fedket("reproduce", "paper", "good", "--fast", "--seeds", "3")
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    assert lines[0].startswith("good, seed 3: finished, round 1/1, accuracy")
    assert "(1 of 1 finished" in lines[0]
    folder = tmp_path / "runs" / "reproduce" / "paper" / "fast"
    assert (folder / "table.md").read_text() in output
    assert (folder / "report.html").exists()
    assert "only 1 seed" in output
    assert "# paper, profile fast" in output


def test_json_is_one_object_and_a_row_without_data_makes_exit_code_1(fedket, tmp_path):
    args = ("reproduce", "paper", "--rounds", "1", "--json", "--store", "stored")
    code, output, errors = fedket(*args, "--output", "made")
    assert (code, errors) == (1, "")
    assert output.count("\n") == 1
    values = json.loads(output)
    assert [len(row["seeds"]) for row in values["rows"]] == [2, 0]
    assert "nowhere.npz" in values["rows"][1]["problem"]
    assert values["table"] == "made/paper/rounds-1/table.md"
    assert values["stored"] == ["stored/paper/good.rounds-1.json"]
    readme = tmp_path / "stored" / "README.md"
    before = readme.read_text()
    readme.unlink()
    assert fedket("results", "stored") == (0, "stored/README.md\n", "")
    assert readme.read_text() == before
    code, output, errors = fedket("results", "stored", "--check", "3")
    assert (code, errors) == (0, "")
    assert re.fullmatch(r"paper/good, seed [01]: the same bits\n", output)
    row = tmp_path / "stored" / "paper" / "good.rounds-1.json"
    row.write_text(re.sub(r'("parameters_sha256": ")\w', r"\1x", row.read_text()))
    code, output, _ = fedket("results", "stored", "--check", "1", "--draw", "1")
    assert code == 1
    assert ": other bits (" in output


def test_what_does_not_fit_into_a_budget_is_left_and_said(fedket):
    code, output, _ = fedket("reproduce", "paper", "good", "--budget", "0s")
    assert code == 0
    assert output.splitlines()[0].startswith("left for another time: 2 runs, about ")
    code, output, _ = fedket("reproduce", "paper", "good", "--budget", "1h")
    assert code == 0
    assert "left for another time" not in output
    assert "2 of 2 finished" in output


def test_a_dry_run_says_what_would_run_and_how_long(fedket, tmp_path):
    before = contents(tmp_path)
    code, output, errors = fedket("reproduce", "paper", "--dry-run")
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    assert lines[0].split() == ["row", "seed", "directory"]
    assert lines[1].split() == ["good", "0", "runs/reproduce/paper/full/good/seed-0"]
    assert "4, 0 of them finished" in output
    assert "time" in output
    assert "nowhere.npz" in lines[-1]
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["papr"], "no paper `papr`"),
        (["paper", "god"], "did you mean `good`?"),
        (["paper", "--fast", "--rounds", "1"], "--fast and --rounds exclude each other"),
        (["paper", "--seeds", "0,x"], "--seeds takes whole numbers such as 0,1,2"),
        (["paper", "--seeds", "0,"], "--seeds takes"),
        (["paper", "--seeds", "99999999999"], "--seeds takes"),
        (["paper", "--budget", "8"], "--budget takes a time such as 8h, 45min or 90s"),
        ([], "Missing argument 'PAPER'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(args, complaint, fedket, tmp_path):
    before = contents(tmp_path)
    code, output, errors = fedket("reproduce", *args)
    assert (code, output) == (2, "")
    assert errors.startswith("fedket: error: ")
    assert complaint in errors
    assert errors.count("\n") == 1
    assert contents(tmp_path) == before


def test_after_ctrl_c_all_are_saved_and_the_same_command_finishes(fedket, blobs, tmp_path):
    """The signal goes to the command alone, as from `kill`; a terminal sends it to all."""
    write_row(tmp_path / "long", "one", blobs, "federation.rounds=100000", seeds=(0, 1, 2))
    process = start_fedket("reproduce", "long", "--store", "stored", "--jobs", "2", cwd=tmp_path)
    folder = tmp_path / "runs" / "reproduce" / "long" / "full" / "one"
    begun = [folder / f"seed-{seed}" / "rounds.jsonl" for seed in (0, 1)]

    def counts():
        return [path.read_bytes().count(b"\n") if path.exists() else 0 for path in begun]

    while process.poll() is None and min(counts()) < 3:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "one, seed 0: interrupted" in output
    assert "one, seed 1: interrupted" in output
    assert "run the same command again to resume" in errors
    assert not (folder / "seed-2").exists()
    assert not (tmp_path / "stored").exists()
    rounds = max(counts()) + 2
    write_row(tmp_path / "long", "one", blobs, f"federation.rounds={rounds}", seeds=(0, 1))
    code, output, _ = fedket("reproduce", "long")
    assert code == 0, output
    assert "one, seed 0: finished" in output
    assert counts() == [rounds, rounds]
