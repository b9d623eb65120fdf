"""Membership: who is let in, who is waited for, and what is said of the others."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from fedket._version import __version__
from fedket.deploy.broadcast import Timeouts
from fedket.deploy.handshake import PROTOCOL
from fedket.deploy.members import MemberTable
from fedket.deploy.membership import Membership
from fedket.errors import KeyMaterialError, ProtocolError
from fedket.secure.phases import Failure, Phase, Reply

NAMES = ("north", "south", "west")
EXPERIMENT = "f00d"
QUICK = Timeouts(
    phase_s=5.0, training_s=60.0, join_s=20.0, silent_s=1.0, key_s=60.0, heartbeat_s=0.02
)


class FakeSite:
    """A site that answers at once, unless told otherwise."""

    def __init__(self, number, **said):
        self.instance, self.asked, self.peers = "first", [], []
        self.away = False
        self.fails = {}
        self.handshake = {
            "name": NAMES[number],
            "client": number,
            "version": __version__,
            "protocol": PROTOCOL,
            "experiment": EXPERIMENT,
            "samples": 10 + number,
            "classes": 2,
            "features": [4],
        } | said

    def answer(self, action, payload, seconds, abandoned):
        if self.away:
            abandoned.wait(seconds)
            return Failure("timed out")
        if action == "heartbeat":
            return Reply({"instance": self.instance})
        self.asked.append(action)
        if action in self.fails:
            return self.fails[action]() if callable(self.fails[action]) else self.fails[action]
        if action == "links":
            self.peers.append(payload["peers"])
        return Reply(self.handshake if action == "handshake" else {"by": self.instance})

    def restart(self, instance):
        self.asked, self.peers = [], []
        self.instance = instance


class FakeKeys:
    """The server's ends of links; those with `broken` sites fail."""

    def __init__(self):
        self.lined_up, self.broken = [], set()

    def links(self, peers):
        if self.broken & set(peers):
            raise KeyMaterialError("the marks differ")
        self.lined_up += peers

    def source(self, session):
        raise AssertionError("membership spends no key")

    fill = answer = source


@contextmanager
def members_of(*sites, least=2, waits=QUICK, first=0):
    """A members over fake sites."""
    news = []

    def call(site, action, payload, seconds, abandoned):
        return sites[site].answer(action, payload, seconds, abandoned)

    members = Membership(
        NAMES[: len(sites)],
        EXPERIMENT,
        call,
        waits,
        frozenset({"train"}),
        least,
        news.append,
        first,
    )
    members.news = news
    try:
        yield members
    finally:
        members.close()


@contextmanager
def session_of(*sites, keys=None, **options):
    """A members whose session is open and whose sites are members."""
    with members_of(*sites, **options) as members:
        members.meet(range(len(sites)))
        members.open("a session", 2, keys or FakeKeys())
        members.gather()
        yield members


def three(**of_west):
    return FakeSite(0), FakeSite(1), FakeSite(2, **of_west)


def until(test):
    end = time.monotonic() + 20
    while not test():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def phase(action="train", to=(0, 1, 2)):
    return Phase(action, to, {}, 60.0)


MISFITS = {
    "protocol": (
        {"version": "0.0.1", "protocol": 0},
        "its version of the protocol between parties is 0, the federation's is 1 (fedket '0.0.1'",
    ),
    "no protocol": ({"protocol": True}, "its version of the protocol between parties is True"),
    "experiment": ({"experiment": "beef"}, "its experiment's fingerprint is 'beef'"),
    "name": ({"name": "east"}, "its name is 'east'"),
    "number": ({"client": 7}, "its number is 7"),
    "shape": ({"features": [5]}, "its samples have shape [5], the federation's have [4]"),
    "no samples": ({"samples": 0}, "it has no samples"),
    "no classes": ({"classes": -1}, "it has no classes"),
    "samples in words": ({"samples": "many"}, "its `samples` is 'many', which is not a number"),
    "classes in bytes": ({"classes": b"2"}, "its `classes` is b'2', which is not a number"),
    "shape in words": ({"features": "wide"}, "its `features` is 'wide', which is not the shape"),
    "no shape": ({"features": []}, "its `features` is [], which is not the shape"),
    "a shape of nothing": ({"features": [-4]}, "its `features` is [-4], which is not the shape"),
    "pages of it": (
        {"protocol": "9" * 10_000},
        "its version of the protocol between parties is '999",
    ),
}


@pytest.mark.parametrize("said", MISFITS)
def test_a_site_that_does_not_fit_is_refused_by_name_and_the_others_go_on(said):
    changes, reason = MISFITS[said]
    where = 0 if said == "shape" else 1
    sites = [FakeSite(i, **(changes if i == where else {})) for i in range(3)]
    with members_of(*sites, waits=QUICK._replace(join_s=0.6)) as members:
        others = tuple(i for i in range(3) if i != where)
        assert tuple(members.meet(range(3))) == others
        members.open("a session", 2, FakeKeys())
        assert members.gather() == {i: 10 + i for i in others}
        assert all(isinstance(o, Reply) for o in members.execute(phase(to=others)).values())
        why = members.absent()
    assert list(why) == [where]
    assert why[where].startswith(f"site {NAMES[where]} was refused: {reason}")
    assert len(why[where]) < 300
    assert [news for news in members.news if "refused" in news] == list(why.values())
    assert "setup" not in sites[where].asked


@pytest.mark.parametrize("instance", [7, "", None, [1]])
def test_signs_of_life_that_name_no_process_are_none(instance):
    sites = three()
    sites[1].instance = instance
    with members_of(*sites, waits=QUICK._replace(join_s=0.6)) as members:
        assert set(members.meet(range(3))) == {0, 2}
        assert members.absent()[1] == "site south is silent: its heartbeat names no process"


def test_a_handshake_that_fails_is_asked_for_again():
    """A site whose samples were not there yet is in as soon as they are."""
    sites = three()
    answers = [Failure("no samples.npz"), Failure("no samples.npz"), Reply(sites[1].handshake)]
    sites[1].fails["handshake"] = lambda: answers.pop(0)
    with members_of(*sites) as members:
        assert set(members.meet(range(3))) == {0, 1, 2}
    said = "site south did not complete the handshake: no samples.npz"
    assert [news for news in members.news if "south" in news] == [said, "site south is here"]


def test_without_enough_sites_the_run_ends_with_who_is_missing():
    sites = three(experiment="beef")
    sites[0].away = True
    waits = QUICK._replace(join_s=1.5)
    with (
        members_of(*sites, waits=waits) as members,
        pytest.raises(ProtocolError) as caught,
    ):
        members.meet(range(3))
    message = str(caught.value)
    assert message.startswith("1 of 3 sites came, 2 are needed; site north is silent")
    assert "site west was refused: its experiment's fingerprint is 'beef'" in message
    assert "south" not in message


def test_the_first_round_waits_for_sites_that_compile_and_later_ones_go_on_without():
    """Sites that come early would otherwise be alone in a sum; `join_s` is over long before."""
    sites, compiled = three(), threading.Event()
    sites[2].fails["setup"] = lambda: compiled.wait(60) and Reply({})
    with members_of(*sites, waits=QUICK._replace(join_s=0.1), first=3) as members:
        until(lambda: len(members.meet(range(3))) == 3)
        members.open("a session", 2, FakeKeys())
        first = ThreadPoolExecutor(1).submit(members.gather)
        with pytest.raises(TimeoutError):
            first.result(timeout=0.5)
        compiled.set()
        assert set(first.result()) == {0, 1, 2}
        sites[2].away = True
        until(lambda: 2 in members.absent())
        assert set(members.gather()) == {0, 1}


def test_a_first_sum_that_was_lost_is_waited_for_again():
    sites = three()
    with session_of(*sites, least=2, waits=QUICK._replace(join_s=0.5)) as members:
        sites[2].away = True
        until(lambda: 2 in members.absent())
        assert set(members.gather()) == {0, 1}
        with pytest.raises(ProtocolError, match=r"2 of 3 sites are there, 3 are needed"):
            members.gather(3)
        sites[2].away = False
        assert set(members.gather(3)) == {0, 1, 2}


def test_who_became_ready_while_others_links_were_brought_in_line_is_let_in():
    """Many sites on one machine: that takes longer than `join_s`."""
    sites, begun = three(), threading.Event()

    def links():
        begun.set()
        until(
            lambda: (
                "waits for the next round" in members.absent().get(2, "waits for the next round")
            )
        )
        time.sleep(0.2)
        return Reply({})

    sites[0].fails["links"] = links
    sites[2].fails["setup"] = lambda: begun.wait(60) and Reply({})
    with members_of(*sites, waits=QUICK._replace(join_s=0.1), first=3) as members:
        until(lambda: len(members.meet(range(3))) == 3)
        members.open("a session", 2, FakeKeys())
        assert set(members.gather()) == {0, 1, 2}


def test_a_site_that_cannot_begin_is_not_one_that_compiles():
    sites = three()
    sites[2].fails["setup"] = Failure("out of memory")
    waits = QUICK._replace(join_s=0.5)
    with members_of(*sites, waits=waits, first=3) as members:
        until(lambda: len(members.meet(range(3))) == 3)
        members.open("a session", 2, FakeKeys())
        with pytest.raises(ProtocolError, match=r"2 of 3 .* site west could not begin: out of m"):
            members.gather()


def test_a_refused_site_keeps_nobody_waiting():
    sites = three(experiment="beef")
    with members_of(*sites, waits=QUICK._replace(join_s=3600.0)) as members:
        assert set(members.meet(range(3))) == {0, 1}
        assert "site west was refused" in members.absent()[2]


def test_sites_the_transport_cannot_reach_are_not_waited_for():
    unreachable = FakeSite(1)
    unreachable.answer = lambda action, payload, seconds, abandoned: Failure("was not connected")
    forever = QUICK._replace(join_s=3600.0)
    with members_of(FakeSite(0), unreachable, FakeSite(2), waits=forever) as members:
        assert set(members.meet({0, 2})) == {0, 2}


def test_who_connects_late_is_waited_for_where_too_few_have_come():
    late = FakeSite(2)
    late.away = True
    with members_of(FakeSite(0), FakeSite(1), late, first=3) as members:
        met = ThreadPoolExecutor(1).submit(members.meet, {0, 1})
        with pytest.raises(TimeoutError):
            met.result(timeout=0.3)
        late.away = False
        assert set(met.result()) == {0, 1, 2}


def test_too_few_for_a_round_is_an_error_that_names_who_is_away():
    sites = three()
    with session_of(*sites, least=3, waits=QUICK._replace(join_s=2.0)) as members:
        sites[1].away = True
        until(lambda: 1 in members.absent())
        with pytest.raises(ProtocolError, match=r"2 of 3 .* site south sends no heartbeat; st"):
            members.gather()


def test_a_site_that_falls_silent_is_not_waited_for():
    """The phase may take an hour; the test would hang if it were waited for."""
    sites = three()
    with session_of(*sites, waits=QUICK._replace(training_s=3600.0)) as members:
        sites[1].away = True
        outcomes = members.execute(phase())
        assert outcomes[1] == Failure("site south sends no heartbeat")
        assert isinstance(outcomes[0], Reply)
        assert isinstance(outcomes[2], Reply)
        assert members.absent() == {1: "site south sends no heartbeat"}
        sites[1].away = False
        until(lambda: not members.absent())
        assert isinstance(members.execute(phase())[1], Reply)
    assert sites[1].asked.count("handshake") == 1


def test_a_process_that_was_replaced_fails_its_phase_and_is_let_in_again():
    sites = three()
    hangs = threading.Event()

    def train():
        sites[1].restart("second")
        hangs.wait(60)
        return Failure("killed")

    with session_of(*sites, waits=QUICK._replace(training_s=3600.0)) as members:
        sites[1].fails["train"] = train
        outcomes = members.execute(phase())
        assert outcomes[1] == Failure("site south was restarted")
        assert 1 in members.absent()
        sites[1].fails.clear()
        until(lambda: 1 in members.gather())
        assert members.absent() == {}
        assert members.execute(phase())[1] == Reply({"by": "second"})
        assert sites[1].asked == ["handshake", "setup", "links", "train"]
        hangs.set()


def test_a_process_that_replaced_another_is_sent_nothing_of_its_round():
    sites = three()
    with session_of(*sites) as members:
        sites[1].restart("second")
        until(lambda: 1 in members.absent())
        assert isinstance(members.execute(phase("upload"))[1], Failure)
        assert "upload" not in sites[1].asked


def test_a_restart_with_something_else_is_refused():
    sites = three()
    with session_of(*sites) as members:
        sites[1].handshake["experiment"] = "beef"
        sites[1].restart("second")
        until(lambda: "refused" in members.absent().get(1, ""))
        assert members.absent()[1].startswith(
            "site south was refused: its experiment's fingerprint"
        )
        sites[2].handshake["classes"] = 3
        sites[2].restart("second")
        until(lambda: "refused" in members.absent().get(2, ""))
        assert "labels up to 2, the run began with labels up to 1" in members.absent()[2]


@pytest.mark.parametrize("action", ["handshake", "setup"])
def test_a_site_that_is_killed_while_it_starts_is_let_in_when_it_is_back(action):
    """Its call hangs for as long as training may take."""
    sites = three()
    hangs, began = threading.Event(), threading.Event()

    def start():
        began.set()
        hangs.wait(60)
        return Failure("killed")

    with session_of(*sites, waits=QUICK._replace(training_s=3600.0)) as members:
        sites[1].fails[action] = start
        sites[1].restart("second")
        assert began.wait(20)
        sites[1].fails.clear()
        sites[1].restart("third")
        until(lambda: 1 in members.gather())
        assert members.execute(phase())[1] == Reply({"by": "third"})
        hangs.set()


def test_an_answer_after_the_deadline_is_left_out_and_its_site_is_in_the_next_phase():
    sites = three()
    late = threading.Event()
    with session_of(*sites, waits=QUICK._replace(phase_s=0.3)) as members:
        sites[1].fails["upload"] = lambda: late.wait(60) and Reply({"by": "late"})
        outcomes = members.execute(phase("upload"))
        assert outcomes[1] == Failure("site south did not answer `upload` within 0.3 s")
        assert set(outcomes) == {0, 1, 2}
        late.set()
        sites[1].fails.clear()
        assert members.absent() == {}
        assert members.execute(phase("open"))[1] == Reply({"by": "first"})


def test_a_site_whose_heartbeats_take_long_is_waited_for_longer():
    table = MemberTable(NAMES, 0.0)
    for took_s, away in ((0.0, True), (60.0, False)):
        table.heard(0, "first", took_s)
        assert bool(table.away(0, "first")) is away
    for _ in range(200):
        table.heard(0, "first", 0.0)
    assert table.patience(0) < 1e-6


def test_a_large_answer_has_the_time_that_a_slow_link_takes_and_a_fast_one_does_not():
    sites, large = three(), 2**18 + 1
    with session_of(*sites, waits=QUICK._replace(phase_s=0.3)) as members:
        upload = phase("upload")._replace(answer_bytes=large)
        sites[1].fails["upload"] = lambda: time.sleep(0.6) or Reply({"by": "late"})
        assert isinstance(members.execute(phase("upload"))[1], Failure)
        assert members.execute(upload)[1] == Reply({"by": "late"})
        members.execute(phase("open")._replace(payload={"model": bytes(large)}))
        assert isinstance(members.execute(upload)[1], Failure)


def test_calls_that_hang_never_stand_in_the_way_of_others():
    sites, let_go = three(), threading.Event()
    with session_of(*sites, waits=QUICK._replace(phase_s=0.05)) as members:
        sites[1].fails["upload"] = lambda: let_go.wait(60) and Failure("let go")
        for _ in range(40):
            outcomes = members.execute(phase("upload"))
            assert isinstance(outcomes[1], Failure)
        sites[1].fails.clear()
        assert all(isinstance(o, Reply) for o in members.execute(phase()).values())
    let_go.set()


def test_only_newcomers_links_are_brought_in_line():
    sites, keys = three(), FakeKeys()
    with session_of(*sites, keys=keys) as members:
        until(lambda: len(members.gather()) == 3)
        members.gather()
        assert [site.peers for site in sites] == [[[1, 2]], [[0, 2]], [[0, 1]]]
        assert sorted(keys.lined_up) == [0, 1, 2]
        sites[1].restart("second")
        until(lambda: 1 in members.absent())
        until(lambda: 1 in members.gather())
        assert [site.peers[-1] for site in sites] == [[1], [0, 2], [1]]
        assert sorted(keys.lined_up) == [0, 1, 1, 2]


def test_a_newcomer_waits_while_a_link_with_it_is_out_of_line():
    """Whether it, a member or the server cannot: one end alone would lose every round."""
    sites, keys = three(), FakeKeys()
    with session_of(*sites, keys=keys) as members:
        until(lambda: len(members.gather()) == 3)
        for who, reason in ((0, "marks do not come"), (1, "no store")):
            sites[who].fails["links"] = Failure(reason)
            sites[1].restart(f"after {reason}")
            until(lambda: members.absent().get(1) == "site south waits for the next round")
            assert set(members.gather()) == {0, 2}
            assert members.absent() == {1: f"site south has unmatched key links: {reason}"}
            sites[who].fails.clear()
            assert set(members.gather()) == {0, 1, 2}
        keys.broken = {1}
        sites[1].restart("last")
        until(lambda: members.absent().get(1) == "site south waits for the next round")
        assert set(members.gather()) == {0, 2}
        assert members.absent() == {1: "site south has unmatched key links: the marks differ"}


def test_a_site_that_cannot_begin_says_why_once_and_is_asked_again():
    sites = three()
    with members_of(*sites) as members:
        sites[1].fails["setup"] = Failure("out of memory")
        members.meet(range(3))
        opener = threading.Thread(target=members.open, args=("a session", 2, FakeKeys()))
        opener.start()
        until(lambda: members.absent()[1] == "site south could not begin: out of memory")
        until(lambda: sites[1].asked.count("setup") > 2)
        sites[1].fails.clear()
        opener.join()
        assert set(members.gather()) == {0, 1, 2}
    assert sum("could not begin" in news for news in members.news) == 1


def test_what_the_transport_does_wrong_is_the_failure_of_that_site():
    sites = three()
    with session_of(*sites) as members:
        sites[1].fails["train"] = lambda: 1 // 0
        outcomes = members.execute(phase())
    assert "site south answered `train` with what raised ZeroDivisionError" in outcomes[1].reason
    assert isinstance(outcomes[0], Reply)


def test_nonsense_about_a_link_keeps_that_site_out_and_no_other():
    class Puzzled(FakeKeys):
        def links(self, peers):
            if 1 in peers:
                raise TypeError("deposits of the wrong type")
            super().links(peers)

    with session_of(*three(), keys=Puzzled()) as members:
        assert set(members.gather()) == {0, 2}
        assert "unmatched key links: TypeError" in members.absent()[1]


def test_what_nobody_waits_for_is_abandoned_and_close_abandons_the_rest():
    """A transport that held on to a dead site's call would keep the run from ending for an hour."""
    before = set(threading.enumerate())
    sites, hanging, hung = three(), set(), []

    def call(site, action, payload, seconds, abandoned):
        if action in hanging:
            hung.append(action)
            assert abandoned.wait(60), "the call was not given up"
            return Failure("given up")
        return sites[site].answer(action, payload, seconds, abandoned)

    waits = QUICK._replace(training_s=3600.0, phase_s=0.1)
    members = Membership(NAMES, EXPERIMENT, call, waits, frozenset({"train"}), 2, lambda _: None)
    members.meet(range(3))
    members.open("a session", 2, FakeKeys())
    members.gather()
    hanging |= {"upload", "handshake"}
    assert all(isinstance(o, Failure) for o in members.execute(phase("upload")).values())
    sites[0].restart("second")
    until(lambda: "handshake" in hung)
    hanging.add("heartbeat")
    until(lambda: "heartbeat" in hung)
    members.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(20)
        assert not thread.is_alive()
