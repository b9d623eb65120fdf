"""Runs side by side: the numbers of one at a time, and no run takes another down."""

import json
import os
import signal

from fedket.allocator import keep_freed_memory
from fedket.reproduce import jobs
from fedket.reproduce.jobs import run_rows_side_by_side
from fedket.reproduce.rows import Profile, find_rows
from tests.experiment.tiny import start_fedket
from tests.reproduce.papers import write_row


def parameters(run):
    return json.loads((run.directory / "summary.json").read_text())["parameters_sha256"]


def side_by_side(rows, parent):
    return run_rows_side_by_side(rows, Profile(), [], parent, 2, keep_freed_memory)


def test_two_at_a_time_are_the_runs_of_one_at_a_time(reproduced, rows, tmp_path):
    one_by_one, _, _ = reproduced
    runs = list(side_by_side(rows, tmp_path))
    found = {(run.row.name, run.seed): run for run in runs}
    assert len(runs) == len(found) == len(one_by_one)
    for run in one_by_one:
        other = found[run.row.name, run.seed]
        assert (other.status, other.problem) == (run.status, run.problem)
        if run.status == "finished":
            assert parameters(other) == parameters(run)
    again = {run.status for run in side_by_side(rows[1:], tmp_path)}
    assert again == {"kept"}


def test_a_run_whose_process_is_killed_fails_alone(rows, tmp_path, monkeypatch):
    workers = []
    start = jobs._start

    def start_and_kill(*given):
        workers.append(start(*given))
        if len(workers) <= 2:  # both of them; their successors live
            os.kill(workers[-1].process.pid, signal.SIGKILL)
        return workers[-1]

    monkeypatch.setattr(jobs, "_start", start_and_kill)
    runs = list(side_by_side(rows[1:], tmp_path))
    assert [run.problem for run in runs if run.status == "failed"] == [jobs.DIED, jobs.DIED]
    assert sum(run.status == "finished" for run in runs) == len(runs) - 2 == 3


def test_after_ctrl_c_all_are_saved_and_the_same_command_goes_on(blobs, tmp_path):
    """The signal goes to the command alone, as from `kill`; a terminal sends it to all."""
    write_row(tmp_path / "long", "one", blobs, "federation.rounds=100000", seeds=(0, 1, 2))
    process = start_fedket("reproduce", "long", "--jobs", "2", cwd=tmp_path)
    folder = tmp_path / "runs" / "reproduce" / "long" / "full" / "one"
    begun = [folder / f"seed-{seed}" / "rounds.jsonl" for seed in (0, 1)]
    while process.poll() is None and not all(
        rounds.exists() and rounds.read_bytes().count(b"\n") > 2 for rounds in begun
    ):
        pass
    os.kill(process.pid, signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130, errors
    assert output.count("interrupted") == 2
    assert not (folder / "seed-2").exists()
    most = max(rounds.read_bytes().count(b"\n") for rounds in begun)
    write_row(tmp_path / "long", "one", blobs, f"federation.rounds={most + 1}", seeds=(0, 1))
    (row,) = find_rows(str(tmp_path / "long"))
    parent = tmp_path / "runs" / "reproduce"
    assert {run.status for run in side_by_side([row], parent)} == {"finished"}
    assert all(rounds.read_bytes().count(b"\n") == most + 1 for rounds in begun)
