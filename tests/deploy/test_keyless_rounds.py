"""Rounds whose key is not there yet."""

import pytest
from local_sites import KINDS, SITES, LocalMembers, SharedKeys, experiment

from fedket.deploy.keyless import LinkFault
from fedket.deploy.keyless import told as told_of
from fedket.deploy.rounds import SiteRounds
from fedket.deploy.server_experiment import site_experiment
from fedket.deploy.site_trainer import make_task
from fedket.errors import ProtocolError
from fedket.keys import OsRandomSource
from fedket.keys.etsi014.errors import KmeUnreachableError
from fedket.secure.phases import Failure, Reply


class EndOfTestError(Exception):
    """The round has begun."""


def keyless(task, answers, keys=None, told=None, gathered=None):
    """Rounds over sites that only fill, and what was said, slept and asked.

    `answers` are reasons of sites that fail, fill by fill; `told` faulty links that sites tell of;
    `gathered` is told what was said whenever sites are let in.
    """
    members, said = LocalMembers([]), []

    def gather(needed=0):
        if gathered is not None:
            gathered.append(said.copy())
        return dict.fromkeys(range(SITES), 10)

    members.gather = gather

    def execute(phase):
        said.append(phase.action)
        if phase.action != "fill":
            raise EndOfTestError
        reasons = answers.pop(0) if answers else {}
        faults = told.pop(0) if told else {}
        return {
            i: Failure(reasons[i]) if i in reasons else Reply(faulty(faults.get(i, ())))
            for i in phase.to
        }

    members.execute = execute
    keys = keys or SharedKeys(OsRandomSource())
    rounds = SiteRounds(task, members, keys, "it", say=said.append)
    return site_experiment(task, rounds, None).federation, said


def faulty(links):
    """What a site answers whose links with some peers fail, at their ends or at its own."""
    faults = [LinkFault(0, peer, theirs, f"no key with {peer}") for peer, theirs in links]
    return told_of(faults) if faults else {}


def test_a_round_that_too_few_have_key_for_waits_and_is_not_lost(monkeypatch):
    slept = []
    monkeypatch.setattr("fedket.deploy.rounds.time.sleep", slept.append)
    task = make_task(experiment(KINDS["shared"]), (64,), 3)
    away = dict.fromkeys(range(SITES), "no KME")
    federation, said = keyless(task, [away, {0: "empty", 2: "no KME"}, {2: "no KME"}])
    with pytest.raises(EndOfTestError):
        federation.run_round(federation.init())
    waits = [
        "round 1 waits for key, 3600 s at most: no KME",
        "round 1 waits for key, 3600 s at most: empty",
    ]
    assert said == ["fill", waits[0], "fill", waits[1], "fill", "model"]
    assert len(slept) == 2


def test_a_site_that_was_restarted_is_let_in_while_a_round_waits_for_key(monkeypatch):
    """With as few sites as must be: nobody would let it in before the round's deadline."""
    let_in = []
    monkeypatch.setattr("fedket.deploy.rounds.time.sleep", lambda _: None)
    task = make_task(experiment(KINDS["shared"]), (64,), 3)
    restarted = {0: "site 0 was restarted", 2: "site 2 was restarted"}
    federation, said = keyless(task, [restarted], gathered=let_in)
    with pytest.raises(EndOfTestError):
        federation.run_round(federation.init())
    assert let_in == [[], ["fill", "round 1 waits for key, 3600 s at most: site 0 was restarted"]]
    assert said[-2:] == ["fill", "model"]


def test_after_the_deadline_the_run_ends_and_says_who_has_no_key():
    config = experiment(KINDS["shared"], keys={"deadline_s": 0.0})
    away = dict.fromkeys(range(SITES), "no KME")
    federation, said = keyless(make_task(config, (64,), 3), [away])
    with pytest.raises(ProtocolError, match=r"round 1: 0 of 4 sites have key, 3 must; .*: no KME"):
        federation.run_round(federation.init())
    assert said == ["fill"]


def test_without_the_server_s_own_key_manager_nobody_has_key(monkeypatch):
    """It is asked once, not once for each site."""
    slept, asked = [], []
    monkeypatch.setattr("fedket.deploy.rounds.time.sleep", slept.append)

    class Keys(SharedKeys):
        def fill(self, lengths):
            asked.append(dict(lengths))
            if not slept:
                raise KmeUnreachableError("connection refused")
            return 1

    keys = Keys(OsRandomSource())
    federation, said = keyless(make_task(experiment(KINDS["shared"]), (64,), 3), [], keys)
    with pytest.raises(EndOfTestError):
        federation.run_round(federation.init())
    assert "the server gets no key: connection refused" in said[1]
    assert len(asked) == 2


@pytest.mark.parametrize(("degree", "fills"), [(0, 1), (2, 2)])
def test_where_the_graph_has_other_edges_without_a_site_all_are_asked_again(degree, fills):
    """It is drawn anew, and key is needed along its edges; the complete graph loses edges only."""
    task = make_task(experiment(KINDS["masked"] | {"degree": degree}), (64,), 3)
    federation, said = keyless(task, [{1: "no KME"}])
    with pytest.raises(EndOfTestError):
        federation.run_round(federation.init())
    assert said == ["fill"] * fills + ["model"]


def test_one_site_s_key_manager_costs_nobody_else_a_round():
    """Everybody who fills a stream to it tells of a fault; it alone is left out."""
    task = make_task(experiment(KINDS["shared"]), (64,), 3)
    at_3 = {i: [(3, True)] for i in range(3)} | {3: [(-1, False)]}
    federation, said = keyless(task, [], told=[at_3])
    state = federation.init()
    with pytest.raises(EndOfTestError):
        federation.run_round(state)
    assert said == ["fill", "fill", "model"]
    with pytest.raises(EndOfTestError):
        federation.run_round(state._replace(round_num=state.round_num + 1))
    assert said[3:] == ["fill", "model"]
