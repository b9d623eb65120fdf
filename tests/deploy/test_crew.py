"""Membership: who is let in, who is waited for, and what is said of the others."""

import threading
import time
from contextlib import contextmanager

import pytest

from fedket._version import __version__
from fedket.deploy.asking import Waits
from fedket.deploy.crew import SiteCrew
from fedket.errors import KeyMaterialError, ProtocolError
from fedket.secure.phases import Failure, Phase, Reply

NAMES = ("north", "south", "west")
EXPERIMENT = "f00d"
QUICK = Waits(phase_s=5.0, training_s=60.0, join_s=20.0, silent_s=1.0, key_s=60.0, ping_s=0.02)


class FakeSite:
    """A site that answers at once, unless told otherwise."""

    def __init__(self, number, **said):
        self.instance, self.asked, self.peers = "first", [], []
        self.away, self.back = False, threading.Event()
        self.fails = {}
        self.hello = {
            "name": NAMES[number],
            "client": number,
            "version": __version__,
            "experiment": EXPERIMENT,
            "samples": 10 + number,
            "classes": 2,
            "features": [4],
        } | said

    def answer(self, action, payload, seconds):
        if self.away:
            self.back.wait(seconds)
            return Failure("timed out")
        if action == "ping":
            return Reply({"instance": self.instance})
        self.asked.append(action)
        if action in self.fails:
            return self.fails[action]() if callable(self.fails[action]) else self.fails[action]
        if action == "links":
            self.peers.append(payload["peers"])
        return Reply(self.hello if action == "hello" else {"by": self.instance})

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
def crew_of(*sites, least=2, waits=QUICK):
    """A crew over fake sites; whatever still blocks is let go at the end."""
    news = []

    def call(site, action, payload, seconds):
        return sites[site].answer(action, payload, seconds)

    crew = SiteCrew(
        NAMES[: len(sites)], EXPERIMENT, call, waits, frozenset({"train"}), least, news.append
    )
    crew.news = news
    try:
        yield crew
    finally:
        crew.close()
        for site in sites:
            site.back.set()


@contextmanager
def session_of(*sites, keys=None, **options):
    """A crew whose session is open and whose sites are members."""
    with crew_of(*sites, **options) as crew:
        crew.meet(range(len(sites)))
        crew.open("a session", 2, keys or FakeKeys())
        crew.gather()
        yield crew


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
    "version": ({"version": "0.0.1"}, "its version of fedket is '0.0.1'"),
    "experiment": ({"experiment": "beef"}, "its experiment's fingerprint is 'beef'"),
    "name": ({"name": "east"}, "its name is 'east'"),
    "number": ({"client": 7}, "its number is 7"),
    "shape": ({"features": [5]}, "its samples have shape [5], the federation's have [4]"),
    "no samples": ({"samples": 0}, "it has no samples"),
    "no classes": ({"classes": -1}, "it has no classes"),
    "samples in words": ({"samples": "many"}, "its `samples` is 'many', which is no number"),
    "classes in bytes": ({"classes": b"2"}, "its `classes` is b'2', which is no number"),
    "shape in words": ({"features": "wide"}, "its `features` is 'wide', which is no shape"),
    "no shape": ({"features": []}, "its `features` is [], which is no shape"),
    "a shape of nothing": ({"features": [-4]}, "its `features` is [-4], which is no shape"),
    "pages of it": ({"version": "9" * 10_000}, "its version of fedket is '999"),
}


@pytest.mark.parametrize("said", MISFITS)
def test_a_site_that_does_not_fit_is_refused_by_name_and_the_others_go_on(said):
    changes, reason = MISFITS[said]
    where = 0 if said == "shape" else 1
    sites = [FakeSite(i, **(changes if i == where else {})) for i in range(3)]
    with crew_of(*sites, waits=QUICK._replace(join_s=0.6)) as crew:
        others = tuple(i for i in range(3) if i != where)
        assert tuple(crew.meet(range(3))) == others
        crew.open("a session", 2, FakeKeys())
        assert crew.gather() == {i: 10 + i for i in others}
        assert all(isinstance(o, Reply) for o in crew.execute(phase(to=others)).values())
        why = crew.absent()
    assert list(why) == [where]
    assert why[where].startswith(f"site {NAMES[where]} was refused: {reason}")
    assert len(why[where]) < 300
    assert [news for news in crew.news if "refused" in news] == list(why.values())
    assert "setup" not in sites[where].asked


@pytest.mark.parametrize("instance", [7, "", None, [1]])
def test_signs_of_life_that_name_no_process_are_none(instance):
    sites = three()
    sites[1].instance = instance
    with crew_of(*sites, waits=QUICK._replace(join_s=0.6)) as crew:
        assert set(crew.meet(range(3))) == {0, 2}
        assert crew.absent()[1] == "site south is silent: its sign of life names no process"


def test_a_hello_that_fails_is_asked_for_again():
    """A site whose samples were not there yet is in as soon as they are."""
    sites = three()
    answers = [Failure("no samples.npz"), Failure("no samples.npz"), Reply(sites[1].hello)]
    sites[1].fails["hello"] = lambda: answers.pop(0)
    with crew_of(*sites) as crew:
        assert set(crew.meet(range(3))) == {0, 1, 2}
    said = "site south did not say hello: no samples.npz"
    assert [news for news in crew.news if "south" in news] == [said, "site south is here"]


def test_without_enough_sites_the_run_ends_with_who_is_missing():
    sites = three(experiment="beef")
    sites[0].away = True
    waits = QUICK._replace(join_s=1.5)
    with (
        crew_of(*sites, waits=waits) as crew,
        pytest.raises(ProtocolError) as caught,
    ):
        crew.meet(range(3))
    message = str(caught.value)
    assert message.startswith("1 of 3 sites came, 2 are needed; site north is silent")
    assert "site west was refused: its experiment's fingerprint is 'beef'" in message
    assert "south" not in message


def test_a_refused_site_keeps_nobody_waiting():
    sites = three(experiment="beef")
    with crew_of(*sites, waits=QUICK._replace(join_s=3600.0)) as crew:
        assert set(crew.meet(range(3))) == {0, 1}
        assert "site west was refused" in crew.absent()[2]


def test_sites_the_transport_cannot_reach_are_not_waited_for():
    unreachable = FakeSite(1)
    unreachable.answer = lambda action, payload, seconds: Failure("was not connected")
    forever = QUICK._replace(join_s=3600.0)
    with crew_of(FakeSite(0), unreachable, FakeSite(2), waits=forever) as crew:
        assert set(crew.meet({0, 2})) == {0, 2}


def test_too_few_for_a_round_is_an_error_that_names_who_is_away():
    sites = three()
    with session_of(*sites, least=3, waits=QUICK._replace(join_s=2.0)) as crew:
        sites[1].away = True
        until(lambda: 1 in crew.absent())
        with pytest.raises(ProtocolError, match=r"2 of 3 .* site south gives no sign of life; st"):
            crew.gather()


def test_a_site_that_falls_silent_is_not_waited_for():
    """The phase may take an hour; the test would hang if it were waited for."""
    sites = three()
    with session_of(*sites, waits=QUICK._replace(training_s=3600.0)) as crew:
        sites[1].away = True
        outcomes = crew.execute(phase())
        assert outcomes[1] == Failure("site south gives no sign of life")
        assert isinstance(outcomes[0], Reply)
        assert isinstance(outcomes[2], Reply)
        assert crew.absent() == {1: "site south gives no sign of life"}
        sites[1].away = False
        sites[1].back.set()
        until(lambda: not crew.absent())
        assert isinstance(crew.execute(phase())[1], Reply)
    assert sites[1].asked.count("hello") == 1


def test_a_process_that_was_replaced_fails_its_phase_and_is_let_in_again():
    sites = three()
    hangs = threading.Event()

    def train():
        sites[1].restart("second")
        hangs.wait(60)
        return Failure("killed")

    with session_of(*sites, waits=QUICK._replace(training_s=3600.0)) as crew:
        sites[1].fails["train"] = train
        outcomes = crew.execute(phase())
        assert outcomes[1] == Failure("site south was restarted")
        assert 1 in crew.absent()
        sites[1].fails.clear()
        until(lambda: 1 in crew.gather())
        assert crew.absent() == {}
        assert crew.execute(phase())[1] == Reply({"by": "second"})
        assert sites[1].asked == ["hello", "setup", "links", "train"]
        hangs.set()


def test_a_process_that_replaced_another_is_sent_nothing_of_its_round():
    sites = three()
    with session_of(*sites) as crew:
        sites[1].restart("second")
        until(lambda: 1 in crew.absent())
        assert isinstance(crew.execute(phase("upload"))[1], Failure)
        assert "upload" not in sites[1].asked


def test_a_restart_with_something_else_is_refused():
    sites = three()
    with session_of(*sites) as crew:
        sites[1].hello["experiment"] = "beef"
        sites[1].restart("second")
        until(lambda: "refused" in crew.absent().get(1, ""))
        assert crew.absent()[1].startswith("site south was refused: its experiment's fingerprint")
        sites[2].hello["classes"] = 3
        sites[2].restart("second")
        until(lambda: "refused" in crew.absent().get(2, ""))
        assert "3 classes, the run began with 2" in crew.absent()[2]


@pytest.mark.parametrize("action", ["hello", "setup"])
def test_a_site_that_is_killed_while_it_starts_is_let_in_when_it_is_back(action):
    """Its call hangs for as long as training may take."""
    sites = three()
    hangs, began = threading.Event(), threading.Event()

    def start():
        began.set()
        hangs.wait(60)
        return Failure("killed")

    with session_of(*sites, waits=QUICK._replace(training_s=3600.0)) as crew:
        sites[1].fails[action] = start
        sites[1].restart("second")
        assert began.wait(20)
        sites[1].fails.clear()
        sites[1].restart("third")
        until(lambda: 1 in crew.gather())
        assert crew.execute(phase())[1] == Reply({"by": "third"})
        hangs.set()


def test_an_answer_after_the_deadline_is_left_out_and_its_site_is_in_the_next_phase():
    sites = three()
    late = threading.Event()
    with session_of(*sites, waits=QUICK._replace(phase_s=0.3)) as crew:
        sites[1].fails["upload"] = lambda: late.wait(60) and Reply({"by": "late"})
        outcomes = crew.execute(phase("upload"))
        assert outcomes[1] == Failure("site south did not answer `upload` within 0.3 s")
        assert set(outcomes) == {0, 1, 2}
        late.set()
        sites[1].fails.clear()
        assert crew.absent() == {}
        assert crew.execute(phase("open"))[1] == Reply({"by": "first"})


def test_calls_that_hang_never_stand_in_the_way_of_others():
    sites = three()
    with session_of(*sites, waits=QUICK._replace(phase_s=0.05)) as crew:
        sites[1].fails["upload"] = lambda: sites[1].back.wait(60) and Failure("let go")
        for _ in range(40):
            outcomes = crew.execute(phase("upload"))
            assert isinstance(outcomes[1], Failure)
        sites[1].fails.clear()
        assert all(isinstance(o, Reply) for o in crew.execute(phase()).values())


def test_only_newcomers_links_are_brought_in_line():
    sites, keys = three(), FakeKeys()
    with session_of(*sites, keys=keys) as crew:
        until(lambda: len(crew.gather()) == 3)
        crew.gather()
        assert [site.peers for site in sites] == [[[1, 2]], [[0, 2]], [[0, 1]]]
        assert sorted(keys.lined_up) == [0, 1, 2]
        sites[1].restart("second")
        until(lambda: 1 in crew.absent())
        until(lambda: 1 in crew.gather())
        assert [site.peers[-1] for site in sites] == [[1], [0, 2], [1]]
        assert sorted(keys.lined_up) == [0, 1, 1, 2]


def test_a_newcomer_waits_while_a_link_with_it_is_out_of_line():
    """Whether it, a member or the server cannot: one end alone would lose every round."""
    sites, keys = three(), FakeKeys()
    with session_of(*sites, keys=keys) as crew:
        until(lambda: len(crew.gather()) == 3)
        for who, reason in ((0, "marks do not come"), (1, "no store")):
            sites[who].fails["links"] = Failure(reason)
            sites[1].restart(f"after {reason}")
            until(lambda: crew.absent().get(1) == "site south waits for the next round")
            assert set(crew.gather()) == {0, 2}
            assert crew.absent() == {1: f"site south has links out of line: {reason}"}
            sites[who].fails.clear()
            assert set(crew.gather()) == {0, 1, 2}
        keys.broken = {1}
        sites[1].restart("last")
        until(lambda: crew.absent().get(1) == "site south waits for the next round")
        assert set(crew.gather()) == {0, 2}
        assert crew.absent() == {1: "site south has links out of line: the marks differ"}


def test_a_site_that_cannot_begin_says_why_once_and_is_asked_again():
    sites = three()
    with crew_of(*sites) as crew:
        sites[1].fails["setup"] = Failure("out of memory")
        crew.meet(range(3))
        opener = threading.Thread(target=crew.open, args=("a session", 2, FakeKeys()))
        opener.start()
        until(lambda: crew.absent()[1] == "site south could not begin: out of memory")
        until(lambda: sites[1].asked.count("setup") > 2)
        sites[1].fails.clear()
        opener.join()
        assert set(crew.gather()) == {0, 1, 2}
    assert sum("could not begin" in news for news in crew.news) == 1


def test_what_the_transport_does_wrong_is_raised_where_the_phase_is_asked():
    sites = three()
    with session_of(*sites) as crew:
        sites[1].fails["train"] = lambda: 1 // 0
        with pytest.raises(ZeroDivisionError):
            crew.execute(phase())


def test_close_leaves_nobody_waiting():
    """Sites that never answer hold threads, but neither `close` nor the end of the process."""
    before = set(threading.enumerate())
    sites = three()
    for site in sites:
        site.away = True
    with crew_of(*sites) as crew:
        crew.close()
        started = set(threading.enumerate()) - before
        assert started
        assert all(thread.daemon for thread in started)
    for thread in started:
        thread.join(20)
        assert not thread.is_alive()
