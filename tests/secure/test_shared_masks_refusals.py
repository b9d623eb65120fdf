"""Protocol B: clients check all that the server tells them, and a broken rule ends the round."""

from itertools import product

import pytest
from shared_parts import Session, a_plan, updates_of

from fedket.keys.ledger import PadState
from fedket.secure.phases import Failure, Reply
from fedket.secure.shared_masks.client import Stage

IDS = (0, 1, 2, 3, 4)


def a_session(**options):
    mac = options.pop("mac", False)
    plan = a_plan(**options)
    return Session(plan, updates_of(1, IDS, plan), mac=mac)


def assert_ended(session, i, outcome):
    """The client refused, holds no secret any more and has burned its keys."""
    assert isinstance(outcome, Failure)
    assert session.states[i].stage is Stage.ENDED
    assert not session.states[i].held
    assert session.states[i].mask is None
    for peer in set(IDS) - {i}:
        for stream in ((i, peer), (peer, i)):
            left = session.source.ledger.state(1, i, stream)
            assert left is not PadState.RESERVED


@pytest.mark.parametrize("action", ["open", "confirm"])
@pytest.mark.parametrize(
    ("alive", "dropped"),
    [
        ([0, 2, 3, 4], [1]),
        ([0, 1, 2, 3, 4], [4]),
        ([0, 1, 2, 3], []),
        ([0, 1, 2, 3], [4, 4]),
        ([0, 1, 2, 3, 9], [4]),
        ([0, 1, 2, 3, 3], [4]),
        ([3, 2, 1, 0], [4]),
        ([0, 1, 2], [3, 4]),
        ([], [0, 1, 2, 3, 4]),
    ],
    ids=[
        "without it",
        "alive and dropped",
        "one forgotten",
        "dropped twice",
        "a stranger",
        "alive twice",
        "disorder",
        "too few",
        "nobody",
    ],
)
def test_an_unsound_list_of_those_alive_is_refused(action, alive, dropped):
    session = a_session(colluders=1, threshold=4, malicious=action == "confirm")
    request = session.up_to(action).payload_for(1)
    outcome = session.ask(1, action, **{**request, "alive": alive, "dropped": dropped})
    assert_ended(session, 1, outcome)
    assert "together they must be the cohort" in outcome.reason
    assert isinstance(session.ask(1, action, **request), Failure)  # also the right one, now


@pytest.mark.parametrize(
    "change",
    [
        {"cohort": [0, 2, 3, 4]},
        {"cohort": [0, 1]},
        {"cohort": [1, 0, 2, 3, 4]},
        {"cohort": [0, 0, 1, 2, 3]},
        {"cohort": "0, 1"},
        {"num_values": 14},
        {"bits": 15},
        {"colluders": 0},
        {"threshold": 2},
        {"malicious": 0},
        {"malicious": 2},
    ],
    ids=str,
)
def test_terms_that_were_not_agreed_are_refused(change):
    session = a_session(threshold=4, malicious=True)
    request = session.up_to("reserve").payload_for(1)
    outcome = session.ask(1, "reserve", **{**request, **change})
    assert isinstance(outcome, Failure)
    assert session.states[1].stage is Stage.ENDED
    assert session.source.ledger.totals() == (0, 0, 0)


@pytest.mark.parametrize(
    ("action", "change"),
    [
        *product(
            ["share", "upload"],
            [
                {"senders": [0, 1, 3, 4]},
                {"senders": [0, 2, 3]},
                {"senders": [2, 0, 3, 4]},
                {"senders": [0, 2, 3, 9]},
            ],
        ),
        ("share", {"offsets": [0, 0, 0]}),
        ("share", {"tags": b""}),
        ("share", {"tags": b"odd"}),
        ("upload", {"shares": b""}),
        ("upload", {"shares": b"odd"}),
    ],
    ids=str,
)
def test_messages_that_do_not_fit_their_senders_are_refused(action, change):
    session = a_session()
    request = session.up_to(action).payload_for(1)
    assert_ended(session, 1, session.ask(1, action, **{**request, **change}))


@pytest.mark.parametrize(
    "change",
    [
        {"confirmed": []},
        {"confirmed": [0, 2, 3]},
        {"confirmed": [0, 1, 2, 3]},
        {"confirmed": [2, 0, 3, 4]},
        {"tags": bytes(64)},
        {"tags": b""},
    ],
    ids=str,
)
def test_confirmations_that_are_not_enough_are_refused(change):
    session = a_session(threshold=4, malicious=True)
    request = session.up_to("open").payload_for(1)
    assert_ended(session, 1, session.ask(1, "open", **{**request, **change}))


@pytest.mark.parametrize("num_wrong", [0, 1, 2])
def test_a_threshold_of_confirmations_is_enough_and_a_false_one_counts_for_nothing(num_wrong):
    """U = 4 of n = 5, this client included: three of the four others must say the same."""
    session = a_session(threshold=4, malicious=True)
    request = session.up_to("open").payload_for(1)
    assert request["confirmed"] == [0, 2, 3, 4]
    tags = bytes(16 * num_wrong) + request["tags"][16 * num_wrong :]
    outcome = session.ask(1, "open", **{**request, "tags": tags})
    assert isinstance(outcome, Reply if num_wrong <= 1 else Failure)


ORDER = ["reserve", "share", "upload", "confirm", "open"]


@pytest.mark.parametrize("due", ORDER)
def test_requests_out_of_order_are_refused(due):
    for wrong in {*ORDER, "dance"} - {due}:
        session = a_session(threshold=4, malicious=True)
        request = session.up_to(due).payload_for(1)
        assert isinstance(session.ask(1, wrong, **request), Failure)
        assert isinstance(session.ask(1, due, **request), Reply if wrong == "dance" else Failure)


@pytest.mark.parametrize("malicious", [False, True])
def test_confirming_is_skipped_by_nobody_and_done_only_where_agreed(malicious):
    session = a_session(threshold=4, malicious=malicious)
    request = session.up_to("confirm" if malicious else "open").payload_for(1)
    outcome = session.ask(1, "open" if malicious else "confirm", **request)
    if malicious:
        assert_ended(session, 1, outcome)
    else:
        assert isinstance(outcome, Failure)


def test_rounds_only_go_up_and_old_messages_change_nothing():
    session = a_session()
    phase = session.up_to("open", round_num=5)
    for action in ("reserve", "share", "upload", "open", "abort"):
        state = session.states[1]
        outcome = session.ask(1, action, **{**phase.payload_for(1), "round_num": 4})
        assert isinstance(outcome, Failure)
        assert session.states[1] is state
    assert isinstance(session.ask(1, "open", **phase.payload_for(1)), Reply)


def test_a_later_round_gives_up_the_earlier_one():
    session = a_session()
    session.up_to("upload")
    assert session.states[1].mask is not None
    request = session.server(2).send(None).payload_for(1)
    assert isinstance(session.ask(1, "reserve", **request), Reply)
    assert session.states[1].round_num == 2
    assert session.states[1].mask is None
    assert isinstance(session.ask(1, "upload", round_num=1), Failure)


def test_a_retry_gets_the_same_bytes_over_authenticated_messages():
    for action in ("reserve", "share", "upload", "open"):
        session = a_session(mac=True)
        request = session.up_to(action).payload_for(1)
        first = session.ask(1, action, **request)
        assert isinstance(first, Reply)
        assert session.ask(1, action, **request) == first


def test_messages_without_a_round_change_nothing():
    session = a_session()
    session.up_to("upload")
    state = session.states[1]
    outcome, after = session.handlers[1]("upload", {}, state)
    assert isinstance(outcome, Failure)
    assert after is state
