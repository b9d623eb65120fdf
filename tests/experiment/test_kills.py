"""Processes killed at random moments: at most the round at work is lost, and no bit changes."""

import json
import random
import signal
import time

import pytest

from fedket.experiment.load import dump_config
from fedket.experiment.run import resume_run, start_run
from tests.experiment.tiny import FEDKET, config_of, start_fedket

ROUNDS = 80
CHANGES = (f"federation.rounds={ROUNDS}", "training.persistent_optimizer=true")


@pytest.fixture(scope="module")
def whole(blobs, tmp_path_factory):
    """The run that nobody killed."""
    return start_run(config_of(blobs, *CHANGES), output=tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture
def file(tiny, tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(dump_config(tiny(*CHANGES)))
    return path


def finished_rounds(directory):
    path = directory / "rounds.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(process, condition):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
def test_kill_9_loses_at_most_the_round_at_work(seed, whole, file, tmp_path):
    rng, run = random.Random(seed), tmp_path / "run"
    process, last = start_fedket("run", file, "--output", run, cwd=tmp_path), rng.randint(0, 50)
    wait_for(process, lambda: (run / "config.toml").exists() and finished_rounds(run) >= last)
    time.sleep(rng.uniform(0, 0.01))
    process.kill()
    process.communicate()
    survived, seen = finished_rounds(run), []
    assert last <= survived < ROUNDS
    resumed = resume_run(run, seen.append)
    assert seen[0].round in (survived, survived + 1)
    assert resumed.summary.parameters_sha256 == whole.summary.parameters_sha256
    assert finished_rounds(run) == ROUNDS


@pytest.mark.parametrize(
    ("number", "rounds"),
    [
        (signal.SIGINT, 0),
        pytest.param(signal.SIGINT, 30, marks=pytest.mark.long),
        (signal.SIGTERM, 30),
    ],
)
def test_a_polite_signal_saves_and_says_how_to_go_on(number, rounds, whole, file, tmp_path):
    """Also while the first round compiles (0 rounds), and however often Ctrl-C is pressed."""
    run = tmp_path / "run"
    process = start_fedket("run", file, "--output", run, "--json", cwd=tmp_path)
    wait_for(process, lambda: (run / "config.toml").exists() and finished_rounds(run) >= rounds)
    process.send_signal(number)
    for _ in range(3):
        time.sleep(0.01)
        process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130
    survived = finished_rounds(run)
    assert errors == (
        f"fedket: interrupted after round {survived}; continue with: fedket run --resume {run}\n"
    )
    assert json.loads(output)["status"] == "interrupted"
    assert (run / "report.html").exists()
    resumed = resume_run(run)
    assert resumed.summary.parameters_sha256 == whole.summary.parameters_sha256


SLOW_DATA = """
import sys, time
from fedket.data import source_kinds
from fedket.cli import main

def load_dataset(*_, **__):
    print("loading", flush=True)
    time.sleep(60)

source_kinds.load_dataset = load_dataset
main()
"""


@pytest.mark.parametrize(
    ("number", "command"),
    [(signal.SIGINT, "run"), (signal.SIGTERM, "show")],
)
def test_a_signal_while_data_is_loaded_leaves_nothing(number, command, file, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.experiment.tiny.FEDKET", [*FEDKET[:2], SLOW_DATA])
    process = start_fedket(command, file, cwd=tmp_path)
    assert process.stdout.readline() == "loading\n"
    process.send_signal(number)
    output, errors = process.communicate()
    assert process.returncode == 130
    assert errors == "fedket: interrupted before anything was written\n"
    assert output == ""
    assert list(tmp_path.iterdir()) == [file]
