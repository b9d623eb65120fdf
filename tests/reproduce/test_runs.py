"""Runs of a paper: a row that fails stops no other; how runs go on is tested in tests/sweeps."""

import json

from fedket.experiment.run import start_run
from fedket.reproduce.rows import Profile, config_for, find_rows
from fedket.reproduce.runs import plan_rows, run_rows, within
from tests.experiment.tiny import contents
from tests.reproduce.papers import write_row

MODEL = "model.safetensors"


def test_every_row_runs_for_its_seeds_and_a_missing_file_stops_no_other(reproduced):
    runs, _, _ = reproduced
    assert [(run.row.name, run.seed, run.status) for run in runs] == [
        ("adni-lost", 0, "failed"),
        ("adni-lost", 1, "failed"),
        ("mnist-masked", 0, "finished"),
        ("mnist-masked", 1, "finished"),
        ("mnist-plain", 0, "finished"),
        ("mnist-plain", 1, "finished"),
        ("mnist-plain", 2, "finished"),
    ]
    assert "nowhere.npz" in runs[0].problem
    assert "\n" not in runs[0].problem
    assert not runs[0].directory.exists()


def test_the_shortest_runs_fit_into_a_time_and_what_is_left_is_counted(rows, tmp_path):
    planned = plan_rows(rows, Profile(), [], tmp_path)[:5]
    chosen = within(planned, [9.0, 1.0, None, 0.0, 5.0], 7.0)
    assert chosen.now == [planned[1], planned[3], planned[4]]
    assert (chosen.later, chosen.seconds_later) == ([planned[0], planned[2]], 9.0)


def test_side_by_side_are_the_single_runs(reproduced, rows, tmp_path):
    for run in (r for r in reproduced[0] if r.status == "finished" and r.seed == 1):
        config = config_for(run.row, Profile(), run.seed)
        alone = start_run(config, output=tmp_path / run.row.name).directory
        assert (alone / MODEL).read_bytes() == (run.directory / MODEL).read_bytes()


def test_profiles_never_share_a_directory_and_finished_runs_stay(
    reproduced, rows, tmp_path, no_pool
):
    _, parent, _ = reproduced
    before = contents(parent)
    planned = [*plan_rows(rows[2:], Profile(fast=True), [0], tmp_path)]
    planned += plan_rows(rows[2:], Profile(), [0], parent)
    fast, full = sorted(run_rows(planned, 1), key=lambda run: run.status)
    assert (fast.status, full.status) == ("finished", "kept")
    assert fast.directory == tmp_path / "made_up" / "fast" / "mnist-plain" / "seed-0"
    assert json.loads((fast.directory / "summary.json").read_text())["rounds"] == 1
    assert contents(parent) == before


def test_a_row_without_the_profile_fails_alone(blobs, tmp_path, no_pool):
    folder = tmp_path / "p"
    write_row(folder, "a", blobs, fast="")
    write_row(folder, "b", blobs)
    planned = plan_rows(find_rows(str(folder)), Profile(fast=True), [0], tmp_path / "runs")
    runs = list(run_rows(planned, 1))
    assert [run.status for run in runs] == ["failed", "finished"]
    assert "no [fast] table" in runs[0].problem
