"""`fedket doctor` looks at this machine and says what is wrong; the shell completes commands."""

import json
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from fedket import cli
from fedket.cli.machine import judge_extra


@pytest.fixture
def doctor(monkeypatch, capsys):
    """`doctor()`: exit code, and what was found by name of the check."""
    monkeypatch.setattr(sys, "argv", ["fedket", "doctor", "--json"])

    def call():
        code = cli.execute()
        output, errors = capsys.readouterr()
        assert errors == ""
        return code, {check["name"]: check for check in json.loads(output)}

    return call


def test_a_machine_that_runs_these_tests_is_well(doctor, monkeypatch, tmp_path):
    (tmp_path / "mnist.npz").touch()
    monkeypatch.setenv("FEDKET_DATA", str(tmp_path))
    code, found = doctor()
    assert code == 0
    assert {check["outcome"] for check in found.values()} <= {"ok", "note"}
    assert found["data directory"]["found"] == f"{tmp_path} (FEDKET_DATA) has mnist"
    assert f"FEDKET_DATA={tmp_path}" in found["environment variables"]["found"]


def test_what_is_wrong_is_said_and_ends_with_exit_code_1(doctor, monkeypatch, tmp_path):
    monkeypatch.setenv("FEDKET_DATA", str(tmp_path / "none"))
    code, found = doctor()
    assert code == 1
    assert found["data directory"] == {
        "name": "data directory",
        "outcome": "fail",
        "found": f"{tmp_path / 'none'} (FEDKET_DATA) is no folder; correct FEDKET_DATA",
    }


@pytest.mark.parametrize(
    ("extra", "found", "outcome", "said"),
    [
        ("", {"jax>=0.10": "0.10.2"}, "ok", "jax 0.10.2"),
        ("", {"jax>=0.10": "0.9"}, "fail", "jax is 0.9, needed is jax>=0.10"),
        ("", {"jax>=0.10": ""}, "fail", "jax is missing"),
        ("dp", {"dp-accounting>=0.6,<0.7": ""}, "note", "pip install 'fedket[dp]'"),
        ("dp", {"dp-accounting>=0.6,<0.7": "0.7"}, "fail", "dp-accounting is 0.7"),
    ],
)
def test_versions_are_compared_with_those_needed(extra, found, outcome, said):
    check = judge_extra(extra, {Requirement(name): has for name, has in found.items()})
    assert check.outcome == outcome
    assert said in check.found


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("fedket rep", {"report", "reproduce"}), ("fedket run quick", {"quickstart"})],
)
def test_the_shell_completes_commands_and_shipped_experiments(typed, offered):
    completed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.argv = ['fedket']; from fedket.cli import main; main()",
        ],
        env={
            "PYTHONPATH": ":".join(sys.path),
            "_FEDKET_COMPLETE": "complete_bash",
            "COMP_WORDS": typed,
            "COMP_CWORD": str(typed.count(" ")),
        },
        capture_output=True,
        text=True,
    )
    assert set(completed.stdout.split()) == offered, completed.stderr
