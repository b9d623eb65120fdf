"""What is said while something is waited for: whose key or answer, how long, how long still."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from local_sites import KINDS, SITES, LocalMembers, SharedKeys, experiment

from fedket import cli
from fedket.deploy import broadcast
from fedket.deploy.broadcast import Broadcaster, Timeouts
from fedket.deploy.key_wait import SILENT_S, KeyWait
from fedket.deploy.members import MemberTable
from fedket.deploy.rounds import SiteRounds
from fedket.deploy.site_trainer import make_task
from fedket.errors import ProtocolError
from fedket.keys import OsRandomSource
from fedket.secure.phases import Failure, Phase, Reply


class Key:
    """Key that comes at an even pace on two links, from a clock that is set by hand."""

    def __init__(self, *paces):
        self.paces, self.now = paces, 0.0

    def left(self):
        return {i: (0, pace * self.now) for i, pace in enumerate(self.paces)}

    def clock(self):
        return self.now


@pytest.mark.parametrize(
    ("paces", "seconds", "said"),
    [
        ((0.01, 0.5), SILENT_S / 2, ""),
        ((0.01, 0.5), 20.0, "waits for key: 20 % of the round's, about 80 s to go"),
        ((0.0, 0.5), 20.0, "waits for key: 0 % of the round's, none came so far"),
    ],
)
def test_a_wait_for_key_says_how_far_the_slowest_link_is_and_how_long_it_takes(
    paces, seconds, said
):
    key = Key(*paces)
    wait = KeyWait(key.left, key.clock)
    key.now = seconds
    assert wait.in_words() == said


@pytest.mark.parametrize(
    ("phase", "most"),
    [(Phase("fill", (0, 1), {}, 5.0), 60), (Phase("links", (0, 1), {"peers": [2] * 10}, 5.0), 25)],
)
def test_a_long_phase_says_who_is_waited_for_and_what_for(monkeypatch, phase, most):
    monkeypatch.setattr(broadcast, "PATIENCE_S", 0.05)
    let_go, news = threading.Event(), []

    def say(line):
        news.append(line)
        let_go.set()

    def call(site, action, payload, seconds, abandoned):
        if site == 1:
            let_go.wait(60)
        return Reply({})

    table = MemberTable(("north", "west"), 60.0)
    for i in range(2):
        table.heard(i, "first")
    table.note_doing(1, "waits for key: 20 % of the round's")
    waits = Timeouts(5.0, 5.0, 5.0, 60.0, 60.0)
    closed = threading.Event()
    broadcaster = Broadcaster(("north", "west"), table, call, waits, frozenset(), closed, say)
    broadcaster.ask(phase, {0: "first", 1: "first"})
    assert len(news) == 1
    assert news[0].startswith(
        f"waiting for `{phase.action}` of west (waits for key: 20 % of the round's): "
    )
    assert news[0].endswith(f" {most} s at most")


def test_an_experiment_of_sites_is_shown_with_what_its_links_have_to_give(monkeypatch, capsys):
    at_sites = ["engine.kind=flare", "keys={kind='etsi014'}", "partition.num_clients=5"]
    changes = [word for change in at_sites for word in ("--set", change)]
    monkeypatch.setattr("sys.argv", ["fedket", "show", "quickstart", *changes])
    assert cli.execute() == 0
    said = capsys.readouterr().out
    assert "waits for key" in said
    assert "at 100 kbit/s" in said.replace("\u202f", " ").replace("\u00a0", " ")


def test_each_attempt_at_a_round_s_key_has_what_is_left_of_the_deadline(monkeypatch):
    """Otherwise every one of them might take all of it."""
    now, given = [0.0], []
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda s: now.append(now.pop() + s))
    monkeypatch.setattr("fedket.deploy.rounds.time", clock)
    config = experiment(KINDS["masked"], keys={"deadline_s": 60.0})
    members = LocalMembers([])
    members.gather = lambda needed=0: dict.fromkeys(range(SITES), 10)

    def execute(phase):
        given.append(phase.payload["patience_s"])
        clock.sleep(20.0)
        return dict.fromkeys(phase.to, Failure("no key"))

    members.execute = execute
    keys = SharedKeys(OsRandomSource())
    rounds = SiteRounds(make_task(config, (64,), 3), members, keys, "it")
    with pytest.raises(ProtocolError, match="0 of 4 sites have key"):
        rounds.engine().attend(np.arange(SITES), 1)
    assert given == [60, 35, 10]
