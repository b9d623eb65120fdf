"""Processes of a federation on this machine: stopped by name, and nobody else."""

import json
import subprocess
import sys
from contextlib import contextmanager

from fedket.deploy.local import PROCESSES, Started, _stat, is_alive, stop


@contextmanager
def process():
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(command, start_new_session=True) as started:
        try:
            yield started
        finally:
            started.kill()


def remembered(directory, *started):
    (directory / PROCESSES).write_text(json.dumps([list(one) for one in started]))


def test_stop_ends_what_was_started(tmp_path):
    with process() as own:
        remembered(tmp_path, Started("site-1", own.pid, _stat(own.pid)[1]))
        assert stop(tmp_path) == ["site-1"]
        assert own.wait() is not None
    assert not (tmp_path / PROCESSES).exists()


STARTS_A_JOB = """
import subprocess, time
print(subprocess.Popen(["sleep", "600"], start_new_session=True).pid, flush=True)
time.sleep(600)
"""


def test_stop_waits_for_what_a_party_had_started_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("fedket.deploy.local.STOP_S", 0.3)
    command = [sys.executable, "-c", STARTS_A_JOB]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as party:
        job = int(party.stdout.readline())
        started = Started("site-1", job, _stat(job)[1])
        remembered(tmp_path, Started("site-1", party.pid, _stat(party.pid)[1]))
        assert is_alive(started)
        assert stop(tmp_path) == ["site-1"]
        assert not is_alive(started)


def test_stop_leaves_a_process_alone_that_has_an_old_one_s_number(tmp_path):
    with process() as stranger:
        old = Started("site-1", stranger.pid, "1")
        remembered(tmp_path, old)
        assert not is_alive(old)
        assert stop(tmp_path) == []
        assert stranger.poll() is None


def test_a_process_that_is_gone_is_not_alive(tmp_path):
    with process() as own:
        started = Started("site-1", own.pid, _stat(own.pid)[1])
        assert is_alive(started)
    assert not is_alive(started)
