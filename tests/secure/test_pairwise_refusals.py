"""Protocol A: when a round ends, and what clients and server refuse."""

import numpy as np
import pytest
from pairwise_parts import (
    asked_up_to_upload,
    fresh,
    handlers_of,
    low_bits,
    ring_sum,
    updates_of,
    upload,
)

from fedket.errors import ProtocolError
from fedket.keys.ledger import PadState
from fedket.keys.os_random import OsRandomSource
from fedket.secure.pairwise import pairwise_server
from fedket.secure.pairwise_client import ClientState, Stage, pairwise_client
from fedket.secure.phases import Failure, Phase, Reply, drive
from fedket.secure.words import unpack_words


def silent_at_upload(handler):
    def handle(action, payload, state):
        if action in ("upload", "abort"):
            return Failure("connection lost"), state
        return handler(action, payload, state)

    return handle


def test_a_member_missing_at_upload_ends_the_round_and_burns_its_pads():
    ids, source = (1, 2, 3), OsRandomSource()
    updates, states = updates_of(3, ids), fresh(ids)
    handlers = handlers_of(updates, source)
    broken = {**handlers, 2: silent_at_upload(handlers[2])}
    with pytest.raises(ProtocolError, match=r"client 2 was ready .*\(connection lost\)"):
        drive(pairwise_server(1, ids, 13, 16), broken, states)
    assert source.ledger.state(1, 1, 2) is PadState.CONSUMED
    assert source.ledger.state(1, 2, 1) is PadState.RESERVED  # client 2 has not heard of the end
    for outcome in (handlers[i]("upload", upload(ids), states[i])[0] for i in (1, 3)):
        assert isinstance(outcome, Failure)
    with pytest.raises(ProtocolError, match="fewer than 2"):
        drive(pairwise_server(1, ids, 13, 16), handlers, states)
    result = drive(pairwise_server(2, ids, 13, 16), handlers, states)
    np.testing.assert_array_equal(low_bits(result.words, 16), ring_sum(updates))
    assert source.ledger.totals().reserved == 0


def test_an_upload_of_the_wrong_size_ends_the_round():
    ids = (1, 2)
    handlers = handlers_of(updates_of(3, ids), OsRandomSource())

    def short(action, payload, state):
        outcome, state = handlers[2](action, payload, state)
        return (Reply({"words": b"short"}) if action == "upload" else outcome), state

    with pytest.raises(ProtocolError, match="26 bytes, got 5"):
        drive(pairwise_server(1, ids, 13, 16), {1: handlers[1], 2: short}, fresh(ids))


@pytest.mark.parametrize(
    "members",
    [(1, 3), (2,), (), (1, 2, 4), (2, 1), (1, 2, 2), (1, 2, 3, 1)],
    ids=["without it", "alone", "empty", "a stranger", "disorder", "twice", "twice again"],
)
def test_an_unsound_list_of_members_is_refused_and_burns_the_pads(members):
    ids, source = (1, 2, 3), OsRandomSource()
    handlers, states = asked_up_to_upload(ids, source, updates_of(1, ids))
    outcome, state = handlers[2]("upload", upload(members), states[2])
    assert isinstance(outcome, Failure)
    assert "members" in outcome.reason
    assert source.ledger.state(1, 2, 1) is source.ledger.state(1, 2, 3) is PadState.BURNED
    outcome, _ = handlers[2]("upload", upload(ids), state)
    assert isinstance(outcome, Failure)


def test_a_retry_gets_the_same_bytes_and_other_members_get_nothing():
    ids, source = (1, 2, 3), OsRandomSource()
    updates = updates_of(1, ids)
    handlers, states = asked_up_to_upload(ids, source, updates)
    first, state = handlers[1]("upload", upload(ids), states[1])
    updates[1] = updates[1] + 1
    again, state = handlers[1]("upload", upload(ids), state)
    assert again == first
    refused, state = handlers[1]("upload", upload((1, 2)), state)
    assert isinstance(refused, Failure)
    refused, _ = handlers[1]("upload", upload(ids), state)
    assert isinstance(refused, Failure)


@pytest.mark.parametrize(
    ("offset", "num_words"), [(8, 5), (0, 5), (0, 14), (0, 16), (0, 0), (0, -8), (-8, 8)]
)
def test_words_out_of_order_or_range_are_refused(offset, num_words):
    ids = (1, 2)
    handlers, states = asked_up_to_upload(ids, OsRandomSource(), updates_of(1, ids))
    outcome, _ = handlers[1]("upload", upload(ids, num_words, offset=offset), states[1])
    assert isinstance(outcome, Failure)


def test_rounds_only_go_up_and_old_messages_change_nothing():
    ids, source = (1, 2), OsRandomSource()
    updates = updates_of(1, ids)
    handlers, states = asked_up_to_upload(ids, source, updates, round_num=5)
    for action in ("reserve", "ready", "upload", "abort"):
        payload = {**upload(ids, round_num=4), "cohort": list(ids), "word_bits": 16}
        outcome, state = handlers[1](action, payload, states[1])
        assert isinstance(outcome, Failure)
        assert state is states[1]
    sums = [handlers[i]("upload", upload(ids, round_num=5), states[i])[0] for i in ids]
    total = sum(unpack_words(outcome.payload["words"], 13, 16) for outcome in sums)
    np.testing.assert_array_equal(total, ring_sum(updates))


@pytest.mark.parametrize(
    "change",
    [
        {"cohort": [2, 3]},
        {"cohort": [1]},
        {"cohort": [2, 1]},
        {"cohort": [1, 1, 2]},
        {"num_words": 0},
        {"word_bits": 65},
        {"cohort": "1, 2"},
    ],
)
def test_an_unsound_reservation_is_refused(change):
    source = OsRandomSource()
    handler = pairwise_client(1, source, lambda _: None)
    payload = {"round_num": 1, "num_words": 13, "word_bits": 16, "cohort": [1, 2], **change}
    outcome, state = handler("reserve", payload, ClientState())
    assert isinstance(outcome, Failure)
    assert state == ClientState(1, Stage.ENDED)
    assert source.ledger.totals() == (0, 0, 0)


def test_asking_again_before_upload_is_harmless_and_asking_otherwise_is_not():
    ids, source = (1, 2), OsRandomSource()
    handlers = handlers_of(updates_of(1, ids), source)
    payload = {"round_num": 1, "num_words": 13, "word_bits": 16, "cohort": [1, 2]}
    _, reserved = handlers[1]("reserve", payload, ClientState())
    assert handlers[1]("reserve", payload, reserved) == (Reply({}), reserved)
    _, ready = handlers[1]("ready", {"round_num": 1}, reserved)
    outcome, again = handlers[1]("ready", {"round_num": 1}, ready)
    assert isinstance(outcome, Reply)
    assert again is ready
    outcome, _ = handlers[1]("reserve", {**payload, "num_words": 14}, reserved)
    assert isinstance(outcome, Failure)
    assert source.ledger.state(1, 1, 2) is PadState.BURNED


@pytest.mark.parametrize("action", ["ready", "upload", "dance"])
def test_requests_without_a_reservation_are_refused(action):
    handler = pairwise_client(1, OsRandomSource(), lambda _: None)
    outcome, _ = handler(action, upload((1, 2)), ClientState())
    assert isinstance(outcome, Failure)


def test_an_update_of_another_size_is_refused():
    ids = (1, 2)
    handlers = handlers_of(updates_of(1, ids, num_words=12), OsRandomSource())
    with pytest.raises(ProtocolError, match="fewer than 2"):
        drive(pairwise_server(1, ids, 13, 16), handlers, fresh(ids))


def test_fewer_than_two_clients_hide_nothing():
    for cohort in ((), (7,)):
        with pytest.raises(ProtocolError, match="fewer than 2 clients"):
            next(pairwise_server(1, cohort, 13, 16))
    updates = {**updates_of(3, (1, 2)), 2: None}
    with pytest.raises(ProtocolError, match=r"there are 1 \(\[1\]; 1 dropped out"):
        drive(
            pairwise_server(1, (1, 2), 13, 16),
            handlers_of(updates, OsRandomSource()),
            fresh((1, 2)),
        )


def test_pieces_must_be_whole_bytes():
    with pytest.raises(ProtocolError, match="multiple of 8"):
        next(pairwise_server(1, (1, 2), 13, 4, chunk_words=3))


def test_every_message_can_be_serialised():
    ids = (1, 2)
    handlers, phases = handlers_of(updates_of(1, ids), OsRandomSource()), []

    def watched(server):
        phase = next(server)
        while True:
            phases.append(phase)
            outcomes = yield phase
            phases.extend(Phase("reply", (), o.payload, 0.0) for o in outcomes.values())
            try:
                phase = server.send(outcomes)
            except StopIteration as end:
                return end.value

    drive(watched(pairwise_server(1, ids, 13, 16)), handlers, fresh(ids))
    for phase in phases:
        for value in phase.payload.values():
            assert type(value) in (int, str, bytes, list)
            assert not isinstance(value, list) or all(type(item) is int for item in value)


def test_a_clients_state_does_not_print_its_update():
    ids = (1, 2)
    updates = {i: np.full(13, 12345, np.uint16) for i in ids}
    _, states = asked_up_to_upload(ids, OsRandomSource(), updates)
    assert "12345" not in f"{states} {states[1]!r}"
