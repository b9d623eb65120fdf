"""Sites that connect after a job has begun are handed it; those that have it already are not."""

import json
from types import SimpleNamespace

import pytest

pytest.importorskip("nvflare")

from nvflare.apis.client import Client
from nvflare.apis.fl_constant import RunProcessKey

from fedket.deploy.engines.flare.latecomers import SITES, Doorkeeper, everybody, latecomers

EXPECTED = ("ada", "bob", "eve")


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
    participants = {"1": Client("ada", "1")}
    engine = SimpleNamespace(
        get_clients=lambda: [eve],
        job_runner=SimpleNamespace(running_jobs={"job": "a job"}),
        new_context=lambda: _Context(),
        run_processes={"job": {RunProcessKey.PARTICIPANTS: participants}},
    )
    keeper = Doorkeeper(engine, tmp_path)
    keeper.hand_over = lambda job, client, _: asked.append((job, client)) or takes.pop(0)
    for _ in range(3):
        keeper.look()
    assert asked == [("a job", eve)] * 2
    assert participants["3"] is eve


class _Context:
    def __enter__(self):
        return None

    def __exit__(self, *_):
        return None
