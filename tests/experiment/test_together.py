"""Several processes compute what one does: started by hand on loopback, and by mpirun."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedket.errors import ConfigError
from fedket.experiment.launch import Launch, find_launch
from fedket.experiment.load import dump_config
from fedket.experiment.run import resume_run, start_run
from fedket.experiment.run_directory import read_config
from tests.experiment.tiny import FEDKET, config_of, rounds_of

SHARDED = ("--set", "engine.kind=sharded")
CHANGES = (
    "federation={rounds = 3, clients_per_round = 3}",
    "training.persistent_optimizer=true",
    "strategy.kind=fed_adam",
)
MASKED = (*CHANGES, "aggregation.kind=pairwise_masks")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(arguments, folders):
    """One process for each list of arguments, process 0 first."""
    shared = {
        "FEDKET_COORDINATOR": f"127.0.0.1:{free_port()}",
        "FEDKET_NUM_PROCESSES": str(len(arguments)),
    }
    return [
        subprocess.Popen(
            [*FEDKET, *map(str, given)],
            cwd=folder,
            env={**os.environ, **shared, "FEDKET_PROCESS_ID": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, (given, folder) in enumerate(zip(arguments, folders, strict=True))
    ]


def ends(processes):
    """(exit code, standard output, standard error) of each."""
    texts = [process.communicate() for process in processes]
    return [(p.returncode, *text) for p, text in zip(processes, texts, strict=True)]


@pytest.fixture
def folders(tmp_path):
    """A folder for each of two processes: only the first sees the run."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    return [tmp_path / "first", tmp_path / "second"]


@pytest.fixture
def write(blobs, tmp_path):
    def file(*overrides):
        path = tmp_path / "tiny.toml"
        path.write_text(dump_config(config_of(blobs, *overrides)))
        return path

    return file


def assert_same_run(directory, other, close):
    """The same model to `close`, and the same records apart from the clock."""
    models = [load_file(d / "model.safetensors") for d in (directory, other)]
    assert models[0].keys() == models[1].keys()
    for name, leaf in models[0].items():
        np.testing.assert_allclose(leaf, models[1][name], atol=close, rtol=0)
    for one, two in zip(rounds_of(directory), rounds_of(other), strict=True):
        for record in (one, two):
            record["phases"] = [p["name"] for p in record["phases"]]
        names = ("train_loss", "test_loss")
        losses = [np.array([r.pop(name) for name in names], float) for r in (one, two)]
        np.testing.assert_allclose(*losses, atol=1e-5)
        assert one == two


def test_two_processes_agree_with_one_to_rounding_and_only_the_first_writes(
    write, blobs, folders, tmp_path
):
    command = ["run", write(*CHANGES), *SHARDED, "--output", "run"]
    first, second = ends(start([command] * 2, folders))
    assert first[0] == 0, first[2]
    assert "rounds            3" in first[1]
    assert second == (0, "", "")
    assert list(folders[1].iterdir()) == []
    alone = start_run(config_of(blobs, *CHANGES), output=tmp_path / "alone")
    assert_same_run(folders[0] / "run", alone.directory, close=1e-5)


@pytest.mark.long
def test_two_processes_resume_a_masked_run_bit_for_bit_from_the_disk_of_the_first(
    write, blobs, folders, tmp_path
):
    commands = [
        ["run", write(*MASKED), *SHARDED, "--output", "run", "--set", "federation.rounds=2"],
        ["run", "--resume", "run", "--set", "federation.rounds=3"],
    ]
    for command in commands:
        for code, _, errors in ends(start([command] * 2, folders)):
            assert (code, errors) == (0, "")
    assert list(folders[1].iterdir()) == []
    alone = start_run(config_of(blobs, *MASKED), output=tmp_path / "alone")
    assert_same_run(folders[0] / "run", alone.directory, close=0)


@pytest.mark.long
def test_two_processes_share_a_kind_of_ones_own_from_the_disk_of_the_first(
    write, folders, tmp_path, repository
):
    own = (repository / "examples" / "extend" / "strategy.py").read_text()
    (tmp_path / "strategy.py").write_text(own)
    mine = (*SHARDED, "--set", "strategy={kind = 'strategy.py:Agree'}")
    commands = [
        ["run", write(), *mine, "--output", "run", "--set", "federation.rounds=2"],
        ["run", "--resume", "run", "--set", "federation.rounds=3"],
    ]
    for command in commands:
        for code, _, errors in ends(start([command] * 2, folders)):
            assert (code, errors) == (0, "")
    assert list(folders[1].iterdir()) == []
    assert [line["round"] for line in rounds_of(folders[0] / "run")] == [1, 2, 3]


@pytest.mark.long
def test_two_processes_lose_the_same_rounds_and_resume_together_bit_for_bit(
    write, blobs, folders, tmp_path
):
    """From the disk of the first, sums of shared masks."""
    changes = (
        *CHANGES[1:],
        "aggregation={kind = 'shared_masks', threshold = 5}",
        "conditions={dropout = 0.2, availability = 0.95}",
        "partition.num_clients=6",
        "federation.rounds=8",
    )
    commands = [
        ["run", write(*changes), *SHARDED, "--output", "run", "--set", "federation.rounds=4"],
        ["run", "--resume", "run", "--set", "federation.rounds=8"],
    ]
    for command in commands:
        for code, _, errors in ends(start([command] * 2, folders)):
            assert (code, errors) == (0, "")
    assert list(folders[1].iterdir()) == []
    alone = start_run(config_of(blobs, *changes), output=tmp_path / "alone")
    assert_same_run(folders[0] / "run", alone.directory, close=0)
    assert {bool(line["lost"]) for line in rounds_of(alone.directory)} == {True, False}


def test_processes_with_other_configurations_are_refused_by_name(write, folders):
    command = ["run", write(), *SHARDED]
    other = [*command, "--set", "optimizer.learning_rate=0.5"]
    first, second = ends(start([command, other], folders))
    assert (first[0], second[0]) == (2, 2)
    assert first[2].startswith("fedket: error: process 1 could not start")
    assert "process 1: error: this process has another configuration" in second[2]
    assert "`optimizer.learning_rate` is 0.01 there, 0.5 here" in second[2]
    assert [first[2].count("\n"), second[2].count("\n")] == [1, 1]
    assert not any(any(folder.iterdir()) for folder in folders)


def test_a_killed_process_ends_the_run_with_everything_saved(write, folders):
    run = folders[0] / "run"
    command = ["run", write("federation.rounds=100000"), *SHARDED, "--output", run]
    first, second = processes = start([command] * 2, folders)
    while not (run / "rounds.jsonl").exists() or len(rounds_of(run)) < 5:
        assert [process.poll() for process in processes] == [None, None], ends(processes)
        time.sleep(0.01)
    second.send_signal(signal.SIGKILL)
    (code, _, errors), _ = ends([first, second])
    assert code == 2
    assert errors.startswith("fedket: error: another process of this run is gone")
    assert errors.count("\n") == 1
    done = len(rounds_of(run))
    config = read_config(run, [f"federation.rounds={done + 1}"])
    assert resume_run(run, config=config).summary.rounds == done + 1


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="mpirun is not installed (Open MPI)")
def test_mpirun_starts_processes_that_find_each_other(write, blobs, tmp_path):
    rights = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    command = ["run", write(*MASKED), *SHARDED, "--output", "run", "--json"]
    result = subprocess.run(
        ["mpirun", *rights, "--oversubscribe", "-n", "2", *FEDKET, *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout.count("\n")) == (0, 1), result.stderr
    alone = start_run(config_of(blobs, *MASKED), output=tmp_path / "alone")
    assert_same_run(tmp_path / "run", alone.directory, close=0)


def test_an_engine_of_one_process_is_refused_under_a_launcher(write, tmp_path):
    result = subprocess.run(
        [sys.executable, *FEDKET[1:], "run", write()],
        cwd=tmp_path,
        env={**os.environ, "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        'fedket: error: 2 processes were launched, engine.kind = "vectorised" computes in one; '
        "launch one, or add --set engine.kind=sharded\n"
    )


def test_a_run_that_knows_nothing_of_the_others_is_refused(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "1")
    with pytest.raises(ConfigError, match="all would write the same run"):
        start_run(tiny(), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


ADDRESS = {"FEDKET_COORDINATOR": "a:1"}


@pytest.mark.parametrize(
    ("environment", "launch"),
    [
        ({}, None),
        ({"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}, None),
        ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"}, Launch(4, 3, None)),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, None),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"}, Launch(4, 0, None)),
        ({"PMI_SIZE": "2", "PMI_RANK": "1", **ADDRESS}, Launch(2, 1, "a:1")),
        (
            {"FEDKET_NUM_PROCESSES": "2", "FEDKET_PROCESS_ID": "0", **ADDRESS},
            Launch(2, 0, "a:1"),
        ),
    ],
)
def test_launchers_are_known_by_their_variables(environment, launch):
    assert find_launch(environment) == launch


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"FEDKET_NUM_PROCESSES": "2", **ADDRESS}, "FEDKET_PROCESS_ID is ''"),
        ({"FEDKET_PROCESS_ID": "1", **ADDRESS}, "FEDKET_NUM_PROCESSES is ''"),
        ({"FEDKET_NUM_PROCESSES": "2", "FEDKET_PROCESS_ID": "2", **ADDRESS}, "0 to 1"),
        ({"FEDKET_NUM_PROCESSES": "2", "FEDKET_PROCESS_ID": "0"}, "FEDKET_COORDINATOR is not set"),
        ({"OMPI_COMM_WORLD_SIZE": "two", "OMPI_COMM_WORLD_RANK": "0"}, "whole number"),
    ],
)
def test_half_a_launch_is_refused_by_name(environment, message):
    with pytest.raises(ConfigError, match=message):
        find_launch(environment)
