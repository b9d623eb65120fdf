"""A site that sends anything at all fails by itself: the server's run goes on with the others."""

import json
import threading
import time
import unicodedata
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_sites import KINDS, SITES, LocalMembers, SharedKeys, experiment, site_parts

from fedket.deploy.broadcast import Broadcaster, Timeouts
from fedket.deploy.handshake import problem_of
from fedket.deploy.keyless import LinkFault, LinksWithoutKeyError
from fedket.deploy.members import MemberTable
from fedket.deploy.membership import Membership
from fedket.deploy.messages import unpack
from fedket.deploy.rounds import SiteRounds
from fedket.deploy.run import _task_of
from fedket.deploy.server_experiment import site_experiment
from fedket.deploy.site import Site
from fedket.deploy.site_trainer import make_task
from fedket.deploy.spoilers import Spoilers
from fedket.errors import ConfigError
from fedket.experiment.build import build_experiment
from fedket.keys import OsRandomSource
from fedket.secure.phases import Failure, Phase, Reply
from fedket.types import SERVER

BOMBS = {
    "an int beyond 64 bits": {"samples": 2**63},
    "an int beyond all bounds": {"samples": 10**5000},
    "such an int in a list": {"offsets": [1, -(2**63) - 1]},
    "a lone surrogate": {"name": "\ud800"},
    "one in a name": {"\udfff": 1},
    "a number that is none": {"samples": True},
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_no_party_of_ours_sends_is_that_site_s_failure(bomb):
    assert isinstance(unpack({"reply": BOMBS[bomb]}, "site west"), Failure)


@given(reason=st.text(st.characters(), max_size=80))
def test_a_site_s_words_steer_no_terminal_and_can_be_written_down(reason):
    outcome = unpack({"failure": f"\x1b[2J\r{reason}\u202e\ud800"}, "site west")
    assert not any(unicodedata.category(c).startswith("C") for c in outcome.reason)
    assert json.dumps(outcome.reason, ensure_ascii=False).encode()


NUMBERS = st.integers(-(2**63), 2**63 - 1)
WIRE = NUMBERS | st.binary(max_size=40) | st.text(max_size=10) | st.lists(NUMBERS, max_size=5)
SAID = st.dictionaries(
    st.sampled_from(["name", "client", "version", "experiment", "samples", "classes", "features"]),
    WIRE,
)


@given(said=SAID)
def test_any_handshake_is_read_to_an_end(said):
    assert isinstance(problem_of(said, "west", 2, "f00d"), str)


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("y"), OverflowError(), RecursionError()]
)
def test_an_error_on_the_way_to_a_site_is_that_site_s_failure(error):
    def call(site, action, payload, seconds, abandoned):
        if site == 1:
            raise error
        return Reply({})

    table = MemberTable(("north", "west"), 60.0)
    for i in range(2):
        table.heard(i, "first")
    waits = Timeouts(5.0, 5.0, 5.0, 60.0, 5.0)
    broadcaster = Broadcaster(("north", "west"), table, call, waits, frozenset(), threading.Event())
    outcomes = broadcaster.ask(Phase("ready", (0, 1), {}, 5.0), {0: "first", 1: "first"})
    assert outcomes[0] == Reply({})
    assert "site west" in outcomes[1].reason


def test_a_heartbeat_that_cannot_be_read_leaves_the_site_away_and_the_others_there():
    def call(site, action, payload, seconds, abandoned):
        if site == 1:
            raise ValueError("nonsense")
        said = {"name": "north", "client": 0, "version": "", "experiment": ""}
        return Reply({"instance": "first"} if action == "heartbeat" else said)

    waits = Timeouts(1.0, 1.0, 0.5, 1.0, 1.0, heartbeat_s=0.02)
    members = Membership(("north", "west"), "", call, waits, frozenset(), 1, lambda _: None)
    try:
        end = time.monotonic() + 20
        while "ValueError" not in members.absent()[1]:
            assert time.monotonic() < end, members.absent()
    finally:
        members.close()


class Liar(LocalMembers):
    """The last site answers an action with junk; the engine says `Reply` as for any other."""

    lie = ("", {})

    def execute(self, phase):
        outcomes = super().execute(phase)
        action, junk = self.lie
        if phase.action == action and isinstance(outcomes.get(SITES - 1), Reply):
            outcomes[SITES - 1] = Reply(outcomes[SITES - 1].payload | junk)
        return outcomes


@pytest.fixture(scope="module", params=["masked", "shared"])
def lied_to(request):
    config = experiment(KINDS[request.param], federation={"rounds": 1000})
    built, keys = build_experiment(config), SharedKeys(OsRandomSource())
    sites = [Site(f"{i}", i, config, part, keys) for i, part in enumerate(site_parts(built))]
    members = Liar(sites)
    members.open("a session")
    task = make_task(config, built.dataset.x_train.shape[1:], built.dataset.num_classes)
    federation = site_experiment(task, SiteRounds(task, members, keys, "a session"), None)
    return federation.federation, members, [federation.federation.init()]


@pytest.mark.parametrize("kind", ["masked", "shared"])
def test_a_site_that_spoils_every_round_does_not_end_the_run(kind):
    """Twelve rounds, in most of which the others go on without it."""
    config = experiment(KINDS[kind], federation={"rounds": 12})
    built, keys = build_experiment(config), SharedKeys(OsRandomSource())
    sites = [Site(f"{i}", i, config, part, keys) for i, part in enumerate(site_parts(built))]
    members = Liar(sites)
    members.lie = "upload", {"words": 1, "masked": 1, "residues": 1}
    members.open("a session")
    task = make_task(config, built.dataset.x_train.shape[1:], built.dataset.num_classes)
    federation = site_experiment(task, SiteRounds(task, members, keys, "a session"), None)
    state, records = federation.federation.init(), []
    for _ in range(12):
        state, record = federation.federation.run_round(state)
        records.append(record)
    assert sum(bool(record.lost) for record in records) == (4 if kind == "masked" else 0)
    assert all(SITES - 1 in record.dropped for record in records)


@given(
    faults=st.lists(st.lists(st.integers(0, 4), max_size=5), max_size=8),
    round_num=st.integers(1, 9),
)
def test_a_site_that_makes_others_look_guilty_keeps_one_of_them_out_at_most(faults, round_num):
    spoilers = Spoilers()
    for lost, sites in enumerate(faults, start=1):
        spoilers.blame(sites, lost)
    assert len(spoilers.resting(round_num)) <= 1


def test_nonsense_about_key_leaves_that_site_out_and_no_other():
    class Puzzled(SharedKeys):
        def fill(self, lengths):
            if (SERVER, SITES - 1) in lengths:
                fault = "field `message` of a message should be bytes"
                raise LinksWithoutKeyError([LinkFault(SERVER, SITES - 1, theirs=True, why=fault)])
            return super().fill(lengths)

    config = experiment(KINDS["masked"])
    built, keys = build_experiment(config), Puzzled(OsRandomSource())
    own = SharedKeys(OsRandomSource())
    sites = [Site(f"{i}", i, config, part, own) for i, part in enumerate(site_parts(built))]
    members = LocalMembers(sites)
    members.open("a session")
    keys.source = own.source
    task = make_task(config, built.dataset.x_train.shape[1:], built.dataset.num_classes)
    federation = site_experiment(task, SiteRounds(task, members, keys, "a session"), None)
    _, record = federation.federation.run_round(federation.federation.init())
    assert set(record.dropped) == {SITES - 1}


def test_a_site_with_more_classes_than_the_model_can_tell_is_refused():
    circuit = {"kind": "vqc", "num_qubits": 6, "num_layers": 2}
    make = partial(make_task, experiment(KINDS["masked"], model=circuit), (64,))
    said = {i: {"classes": classes} for i, classes in enumerate([3, 10**6, 2])}
    refused = {}
    task, left = _task_of(make, said, 0, refused.__setitem__)
    assert task.context.samples.num_classes == 3
    assert set(left) == {0, 2}
    assert set(refused) == {1}
    with pytest.raises(ConfigError):
        _task_of(make, {0: {"classes": 10**6}}, 0, refused.__setitem__)


FIELDS = ["offsets", "shares", "held", "words", "residues", "tags", "tag", "first", "offset"]


@given(
    action=st.sampled_from(
        ["fill", "model", "reserve", "ready", "upload", "share", "train", "confirm", "open"]
    ),
    junk=st.dictionaries(st.sampled_from(FIELDS), WIRE, min_size=1),
)
def test_a_round_with_any_answer_of_one_site_ends_in_a_record(lied_to, action, junk):
    federation, members, states = lied_to
    members.lie = action, junk
    state, record = federation.run_round(states[-1])
    states.append(state)
    assert record.lost or set(record.dropped) <= {SITES - 1}


@pytest.mark.parametrize("told", [{}, {"experiment": "f00d"}], ids=["nothing", "another"])
def test_a_site_begins_nothing_for_a_server_with_another_experiment(told):
    config = experiment(KINDS["masked"])
    part = next(site_parts(build_experiment(config)))
    site = Site("north", 0, config, part, SharedKeys(OsRandomSource()))
    assert isinstance(site.handle("handshake", told), Reply)
    answer = site.handle("setup", {"session": "a session", "classes": 3, "largest": 200})
    assert "fingerprint" in answer.reason
    assert "same experiment.toml" in answer.reason
