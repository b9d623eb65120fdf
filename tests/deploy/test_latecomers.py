"""Sites that connect after a job has begun are handed it; those that have it already are not."""

import gc
import json
import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("nvflare")

from federations import lines_of
from local_sites import experiment
from nvflare.apis.client import Client
from nvflare.apis.fl_constant import RunProcessKey

from fedket.deploy.engines.flare.latecomers import SITES, Doorkeeper, everybody, latecomers
from fedket.deploy.local import prepare, running, start_party, stop

EXPECTED = ("ada", "bob", "eve")
NAMES = ("site-1", "site-2", "site-3", "site-4")


def test_a_site_that_never_had_the_job_is_new_and_one_under_another_token_is_back():
    had, back = Client("ada", "1"), Client("ada", "2")
    new, stranger = Client("eve", "3"), Client("mallory", "4")
    participants = {"1": had}
    assert latecomers([had, new, stranger], participants, EXPECTED) == ([new], [])
    assert latecomers([back], participants, EXPECTED) == ([], [back])


def test_a_job_knows_all_sites_and_those_that_came_as_flare_knows_them():
    came = Client("bob", "token")
    assert [(c.name, c.token) for c in everybody(EXPECTED, [came])] == [
        ("bob", "token"),
        ("ada", ""),
        ("eve", ""),
    ]


def test_a_site_that_does_not_take_the_job_is_asked_again(tmp_path):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / SITES).write_text(json.dumps(EXPECTED))
    eve, takes, asked = Client("eve", "3"), [False, True], []
    process = {RunProcessKey.PARTICIPANTS: {"1": Client("ada", "1")}}
    engine = SimpleNamespace(
        get_clients=lambda: [eve],
        job_runner=SimpleNamespace(running_jobs={"job": "a job"}),
        new_context=lambda: _Context(),
        run_processes={"job": process},
    )
    keeper = Doorkeeper(engine, tmp_path)
    keeper.hand_over = lambda job, client, _: asked.append((job, client)) or takes.pop(0)
    for _ in range(3):
        keeper.look()
    assert asked == [("a job", eve)] * 2
    assert process[RunProcessKey.PARTICIPANTS]["3"] is eve


class _Context:
    def __enter__(self):
        return None

    def __exit__(self, *_):
        return None


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # FLARE's session to a server that is gone
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_rounds_of_the_others_go_on_while_a_late_site_comes(tmp_path):
    config = experiment(
        {"kind": "pairwise_masks", "bits": 16},
        partition={"kind": "iid", "num_clients": 4},
        federation={"rounds": 10**6, "eval_every": 10**6},
        model={"kind": "vqc", "num_qubits": 6, "num_layers": 1},
    )
    layout, said = prepare(config, 4, tmp_path / "federation"), []

    def watch():
        run = layout.engine.run
        with pytest.raises(Exception, match="the job ended early"):
            run(layout.kits["admin"], layout.job, NAMES, said.append, join_s=20.0, restarts=0)

    def until(test):
        end = time.monotonic() + 300
        while not test():
            assert time.monotonic() < end, (layout.kits["server"] / "log.out").read_text()[-3000:]
            time.sleep(0.2)

    def without_last(party, command):
        return ["true"] if party == NAMES[-1] else command

    with running(layout, without_last):
        watcher = threading.Thread(target=watch)
        watcher.start()
        until(lambda: len(lines_of(layout)) > 3)
        before = len(lines_of(layout))
        late = start_party(layout.kits[NAMES[-1]], NAMES[-1])
        until(lambda: any(not line["dropped"] for line in lines_of(layout)))
        stop(layout.directory)
        os.killpg(late.pid, signal.SIGKILL)
        watcher.join()
    gc.collect()  # the session, here where its warning is ignored
    first = next(k for k, line in enumerate(lines_of(layout)) if not line["dropped"])
    assert first > before
    assert not any(line["lost"] for line in lines_of(layout)[before:first])
    assert not any("again" in news for news in said[:-1])
