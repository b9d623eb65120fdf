"""Trackers hold what the records hold, round by round, however often a run was cut."""

import importlib.util
import logging
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from fedket.errors import ConfigError
from fedket.experiment.run import resume_run, start_run
from fedket.track.kinds import MlflowConfig
from fedket.track.sink import Follower, TrackConfig, Tracker, numbers_of
from tests.experiment.tiny import rounds_of
from tests.federated.problems import run_rounds, small_federation


def cut_in_two(config, directory):
    """A run that was killed after two of its three rounds, and went on."""

    def press(record):
        if record.round == 2:
            raise KeyboardInterrupt

    start_run(config, press, output=directory)
    return resume_run(directory)


def accuracies(run):
    return [record["test_accuracy"] for record in rounds_of(run.directory)]


def test_callbacks_get_each_record_when_it_is_on_disk(tiny, tmp_path):
    seen, lines = [], []

    def count(record):
        lines.append(len((tmp_path / "run/rounds.jsonl").read_text().splitlines()))

    start_run(tiny(), output=tmp_path / "run", callbacks=[seen.append, count])
    assert [record.round for record in seen] == lines == [1, 2, 3]
    numbers = numbers_of(seen[0])
    assert numbers["test_accuracy"] == seen[0].test_accuracy
    assert numbers["client_accuracy"] == pytest.approx(np.mean(seen[0].client_accuracy))
    assert not {"round", "cohort", "phases"} & numbers.keys()


def test_a_federation_in_python_has_callbacks_too():
    seen = []
    _, records = run_rounds(small_federation(callbacks=[seen.append]), 2)
    assert seen == records


def test_tensorboards_own_reader_finds_every_round_once(tiny, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = tiny("track.kind=tensorboard", "federation.checkpoint_every=3")
    run = cut_in_two(config, tmp_path / "run")
    found = EventAccumulator(str(run.directory / "tensorboard"))
    found.Reload()
    scalars = found.Scalars("test_accuracy")
    assert [event.step for event in scalars] == [1, 2, 3]
    np.testing.assert_allclose([event.value for event in scalars], accuracies(run), atol=1e-6)


def check_mlflow(client, run, name):
    experiment = client.get_experiment_by_name(name)
    (tracked,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(tracked.info.run_id, "test_accuracy")
    assert [metric.step for metric in history] == [1, 2, 3]
    np.testing.assert_allclose([metric.value for metric in history], accuracies(run), atol=1e-6)
    assert tracked.info.status == "FINISHED"
    assert tracked.data.params["partition.num_clients"] == "4"


def test_mlflow_has_one_run_of_a_run_that_went_on(tiny, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = f"file://{tmp_path / 'store'}"
    run = cut_in_two(tiny(f"track={{kind='mlflow', uri='{uri}'}}"), tmp_path / "run")
    check_mlflow(mlflow.MlflowClient(tracking_uri=uri), run, "fedket")


@pytest.mark.long
def test_mlflow_over_a_local_server(tiny, tmp_path):
    if importlib.util.find_spec("mlflow.server") is None or not importlib.util.find_spec("alembic"):
        pytest.skip("needs the whole of mlflow")
    from mlflow import MlflowClient

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri, store = f"http://127.0.0.1:{port}", f"sqlite:///{tmp_path / 'm.db'}"
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    server = subprocess.Popen([*command, "--backend-store-uri", store], cwd=tmp_path)
    try:
        while not _answers(port):
            assert server.poll() is None
            time.sleep(0.2)
        run = cut_in_two(tiny(f"track={{kind='mlflow', uri='{uri}'}}"), tmp_path / "run")
        check_mlflow(MlflowClient(tracking_uri=uri), run, "fedket")
    finally:
        server.terminate()
        server.wait()


def _answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.long
def test_wandb_writes_an_offline_run(tiny, tmp_path):
    pytest.importorskip("wandb")
    run = start_run(tiny("track={kind='wandb', mode='offline'}"), output=tmp_path / "run")
    assert list(run.directory.glob("wandb/offline-run-*/*.wandb"))


def test_a_tracker_decides_nothing_and_one_that_fails_ends_nothing(caplog, finished, tiny):
    told = []

    def fail(round_num, numbers):
        raise OSError("the server is gone")

    follower = Follower(Tracker(fail, told.append))
    with caplog.at_level(logging.WARNING, "fedket"):
        for record in (None, None):
            follower.on_round(record or _record())
    follower.finish("finished")
    assert not told
    assert [entry.message for entry in caplog.records] == [
        "tracking ends, the run goes on: the server is gone"
    ]


def _record():
    from fedket.record import RoundRecord

    zeros = dict.fromkeys(("seconds", "key_bits", "upload_bytes", "download_bytes"), 0)
    return RoundRecord.model_validate({"round": 1, "cohort": (), "train_loss": 1.0} | zeros)


def test_a_tracker_that_cannot_begin_is_told_before_the_first_round(tiny, tmp_path, monkeypatch):
    class Broken(TrackConfig):
        kind: str = "broken"

        def build(self, context):
            return lambda run: 1 / 0

    config = tiny().model_copy(update={"track": Broken()})
    with pytest.raises(ConfigError, match="cannot begin: division by zero"):
        start_run(config, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_where_it_goes_is_not_what_a_run_is(tiny):
    from fedket.experiment.run_directory import config_hash

    tracked = tiny("track={kind='mlflow', uri='http://elsewhere'}")
    assert isinstance(tracked.track, MlflowConfig)
    assert config_hash(tracked) == config_hash(tiny())
