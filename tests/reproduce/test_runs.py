"""Runs of a paper: finished ones stay, interrupted ones go on, a failing one stops no other."""

import json
import shutil
from contextlib import contextmanager

import pytest

from fedket.experiment.load import parse_config
from fedket.experiment.run import start_run
from fedket.reproduce.rows import Profile, config_for, find_rows
from fedket.reproduce.runs import run_rows, run_seed
from tests.experiment.tiny import contents
from tests.reproduce.papers import unwatched, write_row


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


def test_finished_runs_are_not_touched_again(reproduced, rows):
    _, parent, _ = reproduced
    before = contents(parent)

    @contextmanager
    def refuse(row, config):
        raise AssertionError("a finished run is not built again")
        yield

    again = list(run_rows(rows[1:], Profile(), [], parent, refuse))
    assert {run.status for run in again} == {"kept"}
    assert contents(parent) == before


def test_profiles_never_share_a_directory(reproduced, rows, tmp_path):
    runs, _, _ = reproduced
    (fast,) = run_rows(rows[2:], Profile(fast=True), [0], tmp_path, unwatched)
    assert fast.status == "finished"
    assert fast.directory == tmp_path / "made_up" / "fast" / "mnist-plain" / "seed-0"
    name = "summary.json"
    assert json.loads((fast.directory / name).read_text())["rounds"] == 1
    assert fast.directory.parts[-3] != runs[-1].directory.parts[-3]


def test_an_interrupted_run_goes_on_to_the_same_numbers(reproduced, rows, tmp_path):
    runs, _, _ = reproduced
    whole = runs[-1]
    asked = 0

    @contextmanager
    def interrupting(_row, _config):
        def on_round(record):
            nonlocal asked
            asked += 1
            raise KeyboardInterrupt

        yield (lambda _: None), on_round

    directory = tmp_path / "made_up" / "full" / "mnist-plain" / "seed-2"
    seen = list(run_rows(rows[2:], Profile(), [2, 3], tmp_path, interrupting))
    assert [(run.seed, run.status) for run in seen] == [(2, "interrupted")]
    assert asked == 1
    (done,) = run_rows(rows[2:], Profile(), [2], tmp_path, unwatched)
    assert done.status == "finished"
    assert done.directory == directory
    model = "model.safetensors"
    assert (directory / model).read_bytes() == (whole.directory / model).read_bytes()


def test_a_run_killed_at_its_start_is_started_anew(rows, reproduced, tmp_path):
    runs, _, _ = reproduced
    shutil.copytree(runs[-1].directory, tmp_path / "killed")
    for name in ("config.toml", "summary.json", "model.safetensors"):
        (tmp_path / "killed" / name).unlink()
    assert run_seed(rows[2], Profile(), 2, tmp_path / "killed", unwatched).status == "finished"


@pytest.mark.parametrize("foreign", ["letter.txt", "report.html"])
def test_a_directory_with_anything_else_is_left_alone(foreign, rows, tmp_path):
    (tmp_path / foreign).write_text("mine")
    run = run_seed(rows[2], Profile(), 0, tmp_path, unwatched)
    assert run.status == "failed"
    assert "is not empty" in run.problem
    assert contents(tmp_path) == {str(tmp_path / foreign): b"mine"}


def test_a_run_of_another_experiment_is_no_result(rows, blobs, tmp_path):
    values = config_for(rows[2], Profile(), 0).model_dump(mode="json")
    values["optimizer"]["learning_rate"] = 0.5
    start_run(parse_config(values), output=tmp_path / "other")
    run = run_seed(rows[2], Profile(), 0, tmp_path / "other", unwatched)
    assert run.status == "failed"
    assert "`optimizer.learning_rate` is 0.5 there, 0.01 here" in run.problem


def test_a_row_without_the_profile_fails_alone(blobs, tmp_path):
    folder = tmp_path / "p"
    write_row(folder, "a", blobs, fast="")
    write_row(folder, "b", blobs)
    runs = list(
        run_rows(find_rows(str(folder)), Profile(fast=True), [0], tmp_path / "runs", unwatched)
    )
    assert [run.status for run in runs] == ["failed", "finished"]
    assert "no [fast] table" in runs[0].problem
