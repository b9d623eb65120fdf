"""A run is a function of its configuration: however it is cut, extended or computed."""

import json
import re
import shutil
import tomllib

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from fedket.experiment.load import parse_config
from fedket.experiment.run import resume_run, start_run
from fedket.facts import Facts
from fedket.record_files import FACTS, read_json
from tests.experiment.tiny import config_of, contents, rounds_of

INTRICATE = (
    "federation={rounds = 5, eval_every = 2, checkpoint_every = 3, clients_per_round = 3}",
    "training.persistent_optimizer=true",
    "strategy.kind=fed_adam",
    "aggregation.kind=quantised",
)
"""Everything that a checkpoint must hold: optimisers of clients and server, rounds between."""


def interrupt_at(round_num):
    """A callback that presses Ctrl-C when a round is done."""

    def on_round(record):
        if record.round == round_num:
            raise KeyboardInterrupt

    return on_round


@pytest.fixture(scope="module")
def uninterrupted(blobs, tmp_path_factory):
    return start_run(config_of(blobs, *INTRICATE), output=tmp_path_factory.mktemp("r") / "whole")


@pytest.mark.parametrize("stop", [2, 4])
def test_an_interrupted_run_continues_bit_for_bit(stop, uninterrupted, tiny, tmp_path):
    stopped = start_run(tiny(*INTRICATE), interrupt_at(stop), output=tmp_path / "cut")
    assert (stopped.summary.status, stopped.summary.rounds) == ("interrupted", stop)
    resumed = resume_run(tmp_path / "cut")
    assert resumed.summary.parameters_sha256 == uninterrupted.summary.parameters_sha256
    assert rounds_of(resumed.directory) == rounds_of(uninterrupted.directory)
    states = [load_file(r.directory / "checkpoint.safetensors") for r in (resumed, uninterrupted)]
    jax.tree.map(np.testing.assert_array_equal, *states)


def test_a_finished_run_extends_to_what_a_longer_one_had_been(uninterrupted, tiny, tmp_path):
    start_run(tiny(*INTRICATE, "federation.rounds=3"), output=tmp_path / "run")
    extended = resume_run(tmp_path / "run", config=tiny(*INTRICATE))
    assert extended.summary.parameters_sha256 == uninterrupted.summary.parameters_sha256
    assert extended.summary.rounds == 5


def test_resuming_a_finished_run_changes_nothing_but_the_clock(finished, tmp_path):
    shutil.copytree(finished.directory, tmp_path / "copy")
    before = contents(tmp_path / "copy")
    again = resume_run(tmp_path / "copy")
    after = contents(tmp_path / "copy")
    assert {p for p in before if before[p] != after[p]} <= {str(tmp_path / "copy/summary.json")}
    assert again.summary.model_copy(update={"seconds": 0.0}) == finished.summary.model_copy(
        update={"seconds": 0.0}
    )


def test_the_engines_agree(finished, tiny, tmp_path):
    sequential = start_run(tiny("engine.kind=sequential"), parent=tmp_path)
    params = [load_file(r.directory / "model.safetensors") for r in (finished, sequential)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *params)


def test_masks_change_no_bit(tiny, tmp_path):
    runs = [
        start_run(tiny(f"aggregation.kind={kind}"), parent=tmp_path)
        for kind in ("pairwise_masks", "quantised")
    ]
    masked, quantised = (run.summary for run in runs)
    assert masked.parameters_sha256 == quantised.parameters_sha256
    assert masked.key_bits > 0 == quantised.key_bits
    sources = [read_json(run.directory / FACTS, Facts).key_source for run in runs]
    assert sources == ["os_random", "none"]


def test_a_run_in_double_precision_leaves_single_ones_as_they_were(finished, tiny, tmp_path):
    double = start_run(tiny("engine.dtype=float64"), interrupt_at(2), parent=tmp_path)
    resumed = resume_run(double.directory)
    whole = start_run(tiny("engine.dtype=float64"), parent=tmp_path)
    assert resumed.summary.parameters_sha256 == whole.summary.parameters_sha256
    leaves = load_file(whole.directory / "model.safetensors")
    assert {leaf.dtype for leaf in leaves.values()} == {np.dtype("float64")}
    single = start_run(tiny(), parent=tmp_path)
    assert single.summary.parameters_sha256 == finished.summary.parameters_sha256


def test_new_runs_never_share_a_directory(finished, tiny, tmp_path):
    (tmp_path / "tiny-0-1").mkdir()
    run = start_run(tiny(), parent=tmp_path)
    assert run.directory == tmp_path / "tiny-0-2"


def test_a_run_knows_its_directory_before_its_first_round(tiny, tmp_path):
    seen = []
    start_run(tiny("federation.rounds=1"), seen.append, on_start=seen.append, output=tmp_path / "r")
    assert seen[0] == tmp_path / "r"
    assert seen[1].round == 1


def documented(repository):
    """File -> fields, from the tables of docs/run-directory.md."""
    text = (repository / "docs/run-directory.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", text, re.MULTILINE)
    names = {first.strip("`"): re.sub(r"\(.*?\)", "", rest) for first, rest in rows}
    fields = {name: set(re.findall(r"`(\w+)`", rest)) for name, rest in names.items()}
    record = {f for first, _ in rows if "." not in first for f in re.findall(r"`(\w+)`", first)}
    return {name: found for name, found in fields.items() if "." in name}, record


def test_the_run_directory_is_what_the_docs_say(finished, repository):
    files, record = documented(repository)
    present = {path.name for path in finished.directory.iterdir()}
    assert present == set(files) - {
        *("report.html", "best.safetensors", "averaged.safetensors", "track.json")
    }, "of others"
    for name in ("environment.json", "model.json", "summary.json"):
        assert set(json.loads((finished.directory / name).read_text())) == files[name], name
    for line in (finished.directory / "rounds.jsonl").read_text().splitlines():
        assert set(json.loads(line)) == record
    values = tomllib.loads((finished.directory / "config.toml").read_text())
    assert parse_config(values) == parse_config(parse_config(values).model_dump(mode="json"))
