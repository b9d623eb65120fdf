"""A run that shall be there in the end: finished ones stay, interrupted ones go on."""

import shutil
from contextlib import contextmanager

import pytest

from fedket.experiment.run import start_run
from fedket.sweeps.complete import complete
from fedket.sweeps.pool import program_of
from tests.compilations import compiled_programs
from tests.experiment.tiny import contents

MODEL = "model.safetensors"


@pytest.fixture(scope="module")
def whole(blobs, tmp_path_factory):
    from tests.experiment.tiny import config_of

    config, directory = config_of(blobs), tmp_path_factory.mktemp("whole") / "run"
    assert complete(config, directory) == ("finished", "")
    return config, directory


def test_a_finished_run_is_not_touched_again(whole):
    config, directory = whole
    before = contents(directory)

    def refuse():
        raise AssertionError("a finished run is not built again")

    assert complete(config, directory, refuse) == ("kept", "")
    assert contents(directory) == before


def test_an_interrupted_run_goes_on_to_the_same_numbers(whole, tmp_path):
    config, directory = whole

    @contextmanager
    def interrupting():
        def on_round(record):
            raise KeyboardInterrupt

        yield (lambda _: None), on_round

    assert complete(config, tmp_path / "run", interrupting).status == "interrupted"
    assert complete(config, tmp_path / "run").status == "finished"
    assert (tmp_path / "run" / MODEL).read_bytes() == (directory / MODEL).read_bytes()


def test_a_run_killed_at_its_start_is_started_anew(whole, tmp_path):
    config, directory = whole
    shutil.copytree(directory, tmp_path / "killed")
    for name in ("config.toml", "summary.json", MODEL):
        (tmp_path / "killed" / name).unlink()
    assert complete(config, tmp_path / "killed").status == "finished"


@pytest.mark.parametrize("foreign", ["letter.txt", "report.html"])
def test_a_directory_with_anything_else_is_left_alone(foreign, whole, tmp_path):
    (tmp_path / foreign).write_text("mine")
    status, problem = complete(whole[0], tmp_path)
    assert status == "failed"
    assert "is not empty" in problem
    assert contents(tmp_path) == {str(tmp_path / foreign): b"mine"}


def test_a_run_of_another_experiment_is_no_result(tiny, tmp_path):
    start_run(tiny("optimizer.learning_rate=0.5"), output=tmp_path / "other")
    status, problem = complete(tiny(), tmp_path / "other")
    assert status == "failed"
    assert "`optimizer.learning_rate` is 0.5 there, 0.01 here" in problem


def test_a_mistake_that_nobody_expected_is_a_reason_and_is_shown(
    tiny, tmp_path, monkeypatch, capsys
):
    def broken(*_args, **_named):
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr("fedket.sweeps.complete.start_run", broken)
    ended = complete(tiny(), tmp_path / "run")
    assert ended == ("failed", "ZeroDivisionError: by nought")
    assert "in broken" in capsys.readouterr().err


def test_runs_that_differ_in_numbers_only_are_compiled_once(tiny, tmp_path):
    """Those that `program_of` finds alike; their clients' sizes are drawn by chance."""
    shared = ("partition.kind=dirichlet", "strategy.kind=fed_adam", "federation.rounds=1")
    numbers = [
        ("partition.alpha=2.0", "optimizer.learning_rate=0.01", "strategy.learning_rate=0.1"),
        ("partition.alpha=3.0", "optimizer.learning_rate=0.03", "strategy.learning_rate=0.2"),
    ]
    first, *others = [
        tiny(*shared, *some, f"seed={seed}") for seed in (0, 1, 2) for some in numbers
    ]
    complete(first, tmp_path / "first")
    with compiled_programs() as programs:
        for place, config in enumerate(others):
            assert complete(config, tmp_path / str(place)).status == "finished"
    assert programs == []
    assert len({program_of(config) for config in (first, *others)}) == 1
    assert program_of(tiny(*shared, "training.batch_size=4")) != program_of(first)
