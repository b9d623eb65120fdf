"""Run directories that are damaged or made up: refused in one line, and never changed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save

from fedket.errors import CheckpointError
from fedket.experiment.run import resume_run, start_run
from fedket.federated.checkpoint import _checksum, load_checkpoint, save_checkpoint
from fedket.federated.federation import FederationState
from fedket.models.network_file import read_network
from fedket.record_files import read_json
from fedket.report import read_run, write_report
from fedket.reproduce.result import RowResult
from tests.experiment.tiny import config_of
from tests.fuzz.garbage import Garbage, refused

SEEDS = st.integers(0, 2**63 - 1)
JSON = ("summary.json", "model.json", "environment.json")


@pytest.fixture(scope="module")
def finished(blobs, tmp_path_factory):
    """A finished run, and its files as they were."""
    config = config_of(blobs, "federation.rounds=2")
    directory = start_run(config, output=tmp_path_factory.mktemp("runs") / "run").directory
    return directory, {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def restored(finished):
    """`restored(name, content)`: the directory as it was, but for a file."""
    directory, files = finished

    def restore(name, content):
        for known, right in files.items():
            (directory / known).write_bytes(right)
        (directory / name).write_bytes(content)
        return directory

    yield restore
    restore("config.toml", files["config.toml"])


def bent(garbage, name, content):
    if name == "rounds.jsonl":
        lines = content.splitlines(keepends=True)
        place = garbage.randrange(len(lines))
        lines[place] = garbage.json(lines[place]) + b"\n"
        return b"".join(lines)
    return garbage.json(content) if name in JSON else garbage.content(content)


@given(seed=SEEDS)
def test_what_reads_a_run(finished, restored, seed):
    garbage = Garbage(seed)
    name = garbage.choice((*JSON, "rounds.jsonl", "config.toml"))
    directory = restored(name, bent(garbage, name, finished[1][name]))
    with refused():
        read_run(directory)


@settings(max_examples=1)
@given(seed=SEEDS)
def test_reports(finished, restored, seed):
    garbage = Garbage(seed)
    name = garbage.choice((*JSON, "rounds.jsonl", "config.toml"))
    directory = restored(name, bent(garbage, name, finished[1][name]))
    with refused():
        page = write_report([directory]).read_text()
        assert "\x1b" not in page


@settings(max_examples=3)
@given(seed=SEEDS)
def test_what_goes_on_with_a_run(finished, restored, seed):
    garbage = Garbage(seed)
    name = garbage.choice((*JSON, "rounds.jsonl", "checkpoint.safetensors"))
    directory = restored(name, bent(garbage, name, finished[1][name]))
    with refused():
        resume_run(directory)


@given(seed=SEEDS)
def test_networks(tmp_path, finished, seed):
    path = tmp_path / "network.safetensors"
    path.write_bytes(Garbage(seed).content(finished[1]["model.safetensors"]))
    with refused():
        read_network(path)


@given(seed=SEEDS)
def test_stored_results(repository, tmp_path, seed):
    garbage = Garbage(seed)
    stored = garbage.choice(sorted((repository / "results").glob("*/*.json")))
    path = tmp_path / "row.json"
    path.write_bytes(garbage.json(stored.read_bytes()))
    with refused():
        read_json(path, RowResult)


@pytest.mark.parametrize("said", [None, "", "-1", "one", "\u00b2", "9" * 5000])
def test_a_round_that_is_no_number_is_refused_although_its_checksum_is_right(tmp_path, said):
    template = FederationState(0, {"w": np.zeros(2, np.float32)}, (), ())
    save_checkpoint(tmp_path / "right", template, "f00d")
    with safe_open(tmp_path / "right", framework="np") as file:
        arrays, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    metadata = {k: v for k, v in metadata.items() if k != "round"} | (
        {"round": said} if said else {}
    )
    metadata["sha256"] = _checksum(arrays, said or "")
    (tmp_path / "wrong").write_bytes(save(arrays, metadata))
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(tmp_path / "wrong", template, "f00d")


def test_a_network_whose_layers_are_nested_without_end_is_refused(tmp_path):
    path = tmp_path / "network.safetensors"
    path.write_bytes(save({"fc.weight": np.zeros(2)}, {"layers": "[" * 100_000}))
    with pytest.raises(CheckpointError, match="not a network"):
        read_network(path)
