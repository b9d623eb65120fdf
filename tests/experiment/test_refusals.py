"""A directory that cannot be run in or resumed is refused, and nothing in it changes."""

import json
import shutil
from itertools import product

import pytest

from fedket.errors import CheckpointError, FedketError
from fedket.experiment.run import resume_run, start_run
from fedket.experiment.run_directory import held
from tests.experiment.tiny import config_of, contents, write_blobs


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run of three rounds."""
    return shutil.copytree(finished.directory, tmp_path / "run")


def refusal_to_resume(directory, **changes):
    before = contents(directory)
    with pytest.raises(CheckpointError) as error:
        resume_run(directory, **changes)
    assert contents(directory) == before
    assert "\n" not in str(error.value)
    return str(error.value)


def half(content):
    """About half, ending at a blank or comma, where no line of TOML or JSON may end."""
    middle = len(content) // 2
    return content[: max(content.rfind(mark, 0, middle) for mark in (b" ", b","))]


def flipped(content):
    place = len(content) * 3 // 4
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


DAMAGES = [half, lambda _: b"", lambda _: b"\xff" * 400]
FILES = ["checkpoint.safetensors", "rounds.jsonl", "config.toml"]


@pytest.mark.parametrize(
    ("name", "damage"), [*product(FILES, DAMAGES), ("checkpoint.safetensors", flipped)]
)
def test_a_damaged_run_is_refused_by_name_of_the_file(name, damage, run):
    (run / name).write_bytes(damage((run / name).read_bytes()))
    message = refusal_to_resume(run)
    assert str(run / name) in message
    assert "damaged" in message
    assert "nothing was changed" in message


@pytest.mark.parametrize(
    "line", ["[]", "7", '{"round": 2}', '{"round": 2', "null", '{"round": 2, "x": NaN}']
)
def test_a_round_record_must_be_whole(line, run):
    lines = (run / "rounds.jsonl").read_text().splitlines()
    (run / "rounds.jsonl").write_text("\n".join([lines[0], line, lines[2], ""]))
    assert "rounds.jsonl` is damaged: line 2" in refusal_to_resume(run)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("checkpoint.safetensors", "no checkpoint at"),
        ("rounds.jsonl", "does not hold rounds 1 to 3"),
        ("config.toml", "has no config.toml"),
    ],
)
def test_a_run_with_a_missing_file_is_refused(name, complaint, run):
    (run / name).unlink()
    assert complaint in refusal_to_resume(run)


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("optimizer.learning_rate=0.5", "`optimizer.learning_rate` is 0.01 there, 0.5 here"),
        ("model={kind = 'mlp', hidden = [3]}", "`model.hidden` is [] there, [3] here"),
        ("model={kind = 'lenet5'}", '`model.kind` is "mlp" there, "lenet5" here'),
        ("federation.eval_every=2", "`federation.eval_every` is 1 there, 2 here"),
        ("federation.rounds=2", "has 3 rounds, `federation.rounds` is 2"),
    ],
)
def test_another_configuration_is_refused_by_its_first_difference(override, complaint, run, tiny):
    assert complaint in refusal_to_resume(run, config=tiny(override))


@pytest.mark.parametrize(
    "override", ["description=new", "federation.checkpoint_every=2", "data.directory=/elsewhere"]
)
def test_what_decides_no_number_may_change(override, run, tiny, finished):
    resumed = resume_run(run, config=tiny(override))
    assert resumed.summary.parameters_sha256 == finished.summary.parameters_sha256


def test_data_that_changed_meanwhile_is_noticed(tmp_path):
    data = write_blobs(tmp_path / "data.npz")
    start_run(config_of(data, "federation.rounds=1"), output=tmp_path / "run")
    write_blobs(data, num_test=33)
    assert "`num_test` differs" in refusal_to_resume(tmp_path / "run")


def test_what_is_no_run_is_refused(tmp_path):
    assert "no run directory" in refusal_to_resume(tmp_path / "nothing")
    assert "has no config.toml" in refusal_to_resume(tmp_path)


def test_two_processes_never_run_in_one_directory(run):
    with held(run):
        assert "another fedket is running" in refusal_to_resume(run)


def test_leftovers_of_a_killed_writer_are_swept(run):
    leftover = run / ".checkpoint.safetensors.0123abcd.tmp"
    leftover.write_bytes(b"half a checkp")
    resume_run(run)
    assert not leftover.exists()


def refusal_to_start(config, output):
    with pytest.raises((FedketError, OSError)) as error:
        start_run(config, output=output)
    return str(error.value)


def test_an_output_that_is_not_empty_is_left_alone(run, tiny, tmp_path):
    before = contents(tmp_path)
    assert f"or continue it with --resume {run}" in refusal_to_start(tiny(), run)
    assert "is not empty; name another directory" in refusal_to_start(tiny(), tmp_path)
    assert "is a file" in refusal_to_start(tiny(), run / "config.toml")
    assert "config.toml" in refusal_to_start(tiny(), run / "config.toml" / "below")
    assert contents(tmp_path) == before


def test_an_output_is_checked_before_the_data_is_even_read(run, tiny):
    assert "is not empty" in refusal_to_start(tiny("data.path=nosuch.npz"), run)


def test_a_configuration_that_does_not_work_out_leaves_no_directory(tiny, tmp_path):
    refusal_to_start(tiny("data.path=nosuch.npz"), tmp_path / "out" / "run")
    with pytest.raises(FedketError):
        start_run(tiny("partition.num_clients=61"), parent=tmp_path / "runs")
    assert not list(tmp_path.iterdir())


def test_a_read_only_place_is_named(tiny, tmp_path, monkeypatch):
    """By a stub: tests may run as root, who may write anywhere."""

    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    assert "Permission denied" in refusal_to_start(tiny(), tmp_path / "run")
    assert json.dumps(contents(tmp_path)) == "{}"
