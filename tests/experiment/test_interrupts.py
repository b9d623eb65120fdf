"""A signal stops what computes at once, and what saves never."""

import os
import signal
import threading
import time

import pytest

from fedket.errors import CheckpointError
from fedket.experiment import run as running
from fedket.experiment.interrupts import handled_interrupts
from fedket.experiment.run import resume_run, start_run

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _hears_that_the_terminal_closes():
    """Also where the tests themselves run under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_waiting_ends_at_a_signal_though_the_work_goes_on(number):
    started, done = threading.Event(), threading.Event()

    def work():
        started.set()
        done.wait()

    def press():
        started.wait()
        os.kill(os.getpid(), number)

    presser = threading.Thread(target=press)
    with handled_interrupts() as interrupts:
        presser.start()
        with pytest.raises(KeyboardInterrupt):
            interrupts.run(work)
    done.set()
    presser.join()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_nobody_waits_is_remembered(number):
    with handled_interrupts() as interrupts:
        for _ in range(3):
            signal.raise_signal(number)
        with handled_interrupts() as inner, pytest.raises(KeyboardInterrupt):
            inner.run(lambda: None)
        assert inner is interrupts


def test_results_and_errors_come_through_and_handlers_are_put_back():
    before = [signal.getsignal(number) for number in SIGNALS]
    with handled_interrupts() as interrupts:
        assert interrupts.run(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            interrupts.run(lambda: 1 // 0)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_what_nohup_ignores_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with handled_interrupts() as interrupts:
        signal.raise_signal(signal.SIGHUP)
        assert interrupts.run(lambda: 7) == 7


def test_other_threads_need_no_signals():
    results = []

    def elsewhere():
        with handled_interrupts() as interrupts:
            results.append(interrupts.run(lambda: 7))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert results == [7]


def test_a_signal_while_saving_waits_for_the_last_byte(tiny, finished, tmp_path, monkeypatch):
    save = running.save_checkpoint

    def save_under_fire(path, state, digest):
        signal.raise_signal(signal.SIGINT)
        save(path, state, digest)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(running, "save_checkpoint", save_under_fire)
    stopped = start_run(tiny(), output=tmp_path / "run")
    assert stopped.summary.status == "interrupted"
    assert stopped.summary.rounds == 0
    monkeypatch.undo()
    resumed = resume_run(tmp_path / "run")
    assert resumed.summary.parameters_sha256 == finished.summary.parameters_sha256


def test_a_signal_while_building_leaves_nothing_behind(tiny, tmp_path, monkeypatch):
    def build(_config, _keys, led):
        assert led is not None
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)

    monkeypatch.setattr(running, "build_experiment", build)
    with pytest.raises(KeyboardInterrupt):
        start_run(tiny(), output=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_rounds_not_yet_saved_are_saved_when_a_round_fails(tiny, finished, tmp_path, monkeypatch):
    def fail(record):
        if record.round == 2:
            raise RuntimeError("the screen broke")

    with pytest.raises(RuntimeError, match="screen"):
        start_run(tiny("federation.checkpoint_every=100"), fail, output=tmp_path / "run")
    seen = []
    resumed = resume_run(tmp_path / "run", seen.append)
    assert [record.round for record in seen] == [3]
    assert resumed.summary.parameters_sha256 == finished.summary.parameters_sha256


@pytest.mark.parametrize("number", [1, 4, 9])
def test_a_disk_that_is_full_from_the_start_keeps_nothing(number, tiny, tmp_path, monkeypatch):
    sync, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) == number:
            raise OSError(28, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        start_run(tiny(), output=tmp_path / "run")
    assert error.value.filename.startswith(str(tmp_path / "run"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace"])
def test_a_full_disk_keeps_the_last_checkpoint(call, tiny, finished, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    def fill_up(record):
        if record.round == 1:
            monkeypatch.setattr(call, full)

    with pytest.raises(CheckpointError, match="No space left on device") as error:
        start_run(tiny(), fill_up, output=tmp_path / "run")
    assert f"fedket run --resume {tmp_path / 'run'}" in str(error.value)
    monkeypatch.undo()
    seen = []
    resumed = resume_run(tmp_path / "run", seen.append)
    assert [record.round for record in seen] == [2, 3]
    assert resumed.summary.parameters_sha256 == finished.summary.parameters_sha256
