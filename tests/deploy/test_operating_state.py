"""`state.json`: what operators see of a run is what its server knows."""

import json
import time
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest

from fedket.deploy.files import FEDERATION, PROBLEM
from fedket.deploy.operating.account import SiteAccount
from fedket.deploy.operating.news import NEWS, NEWS_BYTES, keeping_news
from fedket.deploy.operating.state import STATE, STOPPED, parse_look, read_look
from fedket.deploy.operating.watch import Watch
from fedket.errors import ConfigError, ProtocolError
from fedket.record import RoundRecord
from fedket.secure.phases import Failure, Reply
from fedket.types import SERVER

SITES = ("ada", "bob", "eve")


@pytest.fixture
def folder(tmp_path):
    """The server's own files in a kit."""
    own = tmp_path / "kit" / "local" / "fedket"
    own.mkdir(parents=True)
    return own


@pytest.fixture
def watch(folder):
    return Watch(folder, SITES, "heart", "f" * 64, of=3)


def record(number, **values):
    return RoundRecord(
        round=number, cohort=(0, 1), train_loss=0.5, seconds=0.1, upload_bytes=1, download_bytes=1,
        key_bits=8, **values,
    )  # fmt: skip


def following(watch, folder, absent=dict, left=dict):
    return watch.following(absent, left, folder / "run")


def test_a_state_says_who_is_waited_for_and_since_when(watch, folder):
    seen = []

    def transport(site, action, payload, seconds, abandoned):
        seen.append(watch.state())
        return Reply({})

    call = watch.call(transport)
    with following(watch, folder):
        watch.round(record(1))
        call(1, "fill", {}, 1.0, Event())
        call(0, "heartbeat", {}, 1.0, Event())
        call(2, "upload", {}, 1.0, Event())
    assert [state.phase for state in seen] == [
        "waits for key (bob)",
        "between two phases",
        "waits for masked updates (eve)",
    ]
    assert seen[0].sites[1].asked == "fill"
    assert seen[0].phase_since >= seen[0].since


def test_a_site_that_is_away_is_not_waited_for_but_named_with_the_reason(watch, folder):
    seen = []

    def transport(site, action, payload, seconds, abandoned):
        seen.append(watch.state())
        return Failure("gone")

    with following(watch, folder, absent=lambda: {1: "site bob sends no heartbeat"}):
        watch.round(record(1))
        watch.call(transport)(1, "upload", {}, 1.0, Event())
    (state,) = seen
    assert state.phase == "between two phases"
    assert [site.inside for site in state.sites] == [True, False, True]
    assert state.sites[1].why == "site bob sends no heartbeat"


def test_seconds_are_those_of_the_last_round_and_key_is_that_of_the_links(watch, folder):
    call = watch.call(lambda *_: Reply({}))
    with following(watch, folder, left=lambda: {0: (640, 10.0)}):
        call(0, "setup", {}, 1.0, Event())
        watch.round(record(1))
        assert watch.state().sites[0].seconds is None
        call(0, "upload", {}, 1.0, Event())
        watch.round(record(2, metrics={"site_accuracy": 0.5}))
        state = watch.state()
    assert state.sites[0].seconds is not None
    assert state.sites[1].seconds is None
    assert [(link.peer, link.num_bytes, link.rounds) for link in state.links] == [("ada", 640, 10)]
    assert state.last["metrics"] == {"site_accuracy": 0.5}
    assert (state.rounds, state.of) == (2, 3)


def test_a_state_says_how_its_run_ended(watch, folder):
    with pytest.raises(ProtocolError), following(watch, folder):
        raise ProtocolError("too few are there")
    look = read_look(folder)
    assert (look.status, look.state.problem) == ("failed", "too few are there")


def test_a_finished_run_is_finished(watch, folder):
    with following(watch, folder):
        for number in (1, 2, 3):
            watch.round(record(number))
    assert read_look(folder).status == "finished"


def test_a_run_that_was_left_says_when_it_was_seen_and_who_stopped_it(watch, folder):
    with following(watch, folder):
        state = json.loads(watch.state().model_dump_json())
    path, old = folder / STATE, datetime.now(UTC) - timedelta(seconds=60)
    assert read_look(folder).fresh
    state |= {"status": "running", "written": old.isoformat()}
    path.write_text(json.dumps(state))
    assert read_look(folder).status.startswith("interrupted, last seen")
    told = {"job": "j", "by": "eve@example.org", "when": "9999"}
    (folder / STOPPED).write_text(json.dumps(told))
    assert read_look(folder).status == "stopped by eve@example.org"
    (folder / STOPPED).write_text(json.dumps(told | {"when": "1999"}))
    assert read_look(folder).status.startswith("interrupted")


def test_what_ended_a_run_before_it_began_is_said(watch, folder):
    (folder / STATE).write_text(watch.state().model_dump_json())
    (folder / PROBLEM).write_text("no samples\n")
    assert read_look(folder).problem == "no samples"
    assert read_look(folder).status == "starting"  # a site goes on after what it refused
    (folder / FEDERATION).touch()
    assert read_look(folder).status == "failed"


def test_news_are_kept_with_their_time_in_one_line_each_and_do_not_grow_for_ever(folder):
    (folder / NEWS).write_text("old\n" * (NEWS_BYTES // 4 + 1))
    heard = []
    keeping_news(lambda: folder, heard.append)("eve\nis here")
    assert heard == ["eve\nis here"]
    lines = (folder / NEWS).read_text().splitlines()
    assert lines[-1].endswith(" eve is here")
    assert len(lines) < NEWS_BYTES // 8 + 3


def test_a_look_of_a_newer_version_is_read_and_one_of_another_form_is_refused(watch):
    state = json.loads(watch.state().model_dump_json())
    look = parse_look({"state": state | {"invented": 1}, "also": 2}, "the server")
    assert look.state.experiment == "heart"
    with pytest.raises(ConfigError, match=r"the server says how .* use the same version"):
        parse_look({"state": {"rounds": 1}}, "the server")


def test_a_site_s_account_counts_its_problems_and_its_key(folder):
    key = {1: (640, 10.0), SERVER: (64, 2.0)}
    account = SiteAccount(folder, SITES, "heart", "f" * 64, 3, lambda: key)
    begun = time.monotonic()
    account.answered("fill", {"round_num": 2}, Reply({}), begun)
    account.answered("upload", {}, Failure("the server repeats round 2"), begun)
    account.close()
    look = read_look(folder)
    assert (look.status, look.problem) == ("running", "")  # what is wrong now is in problem.txt
    assert (look.state.problems, look.state.rounds, look.state.last["round"]) == (1, 1, 2)
    assert [link.peer for link in look.state.links] == ["server", "bob"]


def test_a_kit_without_a_run_says_so(folder):
    assert read_look(folder).status == "no run"
