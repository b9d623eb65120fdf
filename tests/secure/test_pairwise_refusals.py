"""Protocol A: when a round ends, and what clients and server refuse."""

import numpy as np
import pytest
from pairwise_parts import (
    asked_up_to_upload,
    fresh,
    handlers_of,
    low_bits,
    ring_sum,
    serve,
    updates_of,
    upload,
)

from fedket.errors import ConfigError, ProtocolError
from fedket.keys.ledger import PadState
from fedket.keys.os_random import OsRandomSource
from fedket.secure.pairwise.client import ClientState, Stage, pairwise_client
from fedket.secure.pairwise.graph import make_graph
from fedket.secure.pairwise.terms import make_terms, terms_payload
from fedket.secure.phases import Failure, Phase, Reply, drive, in_process
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
        drive(serve(ids), in_process(broken, states))
    assert source.ledger.state(1, 1, (1, 2)) is PadState.CONSUMED
    assert (
        source.ledger.state(1, 2, (1, 2)) is PadState.RESERVED
    )  # client 2 has not heard of the end
    for outcome in (handlers[i]("upload", upload(ids), states[i])[0] for i in (1, 3)):
        assert isinstance(outcome, Failure)
    with pytest.raises(ProtocolError, match="fewer than 2"):
        drive(serve(ids), in_process(handlers, states))  # the same round, the same updates
    result = drive(serve(ids, 2), in_process(handlers, states))
    np.testing.assert_array_equal(low_bits(result.words, 16), ring_sum(updates))
    assert source.ledger.totals().reserved == 0


def test_an_upload_of_the_wrong_size_ends_the_round():
    ids = (1, 2)
    handlers = handlers_of(updates_of(3, ids), OsRandomSource())

    def short(action, payload, state):
        outcome, state = handlers[2](action, payload, state)
        return (Reply({"words": b"short"}) if action == "upload" else outcome), state

    with pytest.raises(ProtocolError, match="26 bytes, got 5"):
        drive(serve(ids), in_process({1: handlers[1], 2: short}, fresh(ids)))


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
    assert source.ledger.state(1, 2, (1, 2)) is source.ledger.state(1, 2, (2, 3)) is PadState.BURNED
    outcome, _ = handlers[2]("upload", upload(ids), state)
    assert isinstance(outcome, Failure)


@pytest.mark.parametrize(
    ("members", "offset", "num_words"),
    [((1, 2, 3), 0, 8), ((1, 2), 8, 5), ((1, 2, 3), 8, 8), ((1, 2, 3), 8, 4)],
    ids=["the same again", "other members", "too many words", "too few words"],
)
def test_after_one_piece_only_the_next_one_for_the_same_members_is_masked(
    members, offset, num_words
):
    ids, source = (1, 2, 3), OsRandomSource()
    handlers, states = asked_up_to_upload(ids, source, updates_of(1, ids), chunk_words=8)
    _, state = handlers[1]("upload", upload(ids, 8), states[1])
    refused, ended = handlers[1]("upload", upload(members, num_words, offset=offset), state)
    assert isinstance(refused, Failure)
    assert ended == ClientState(1, Stage.ENDED)
    refused, _ = handlers[1]("upload", upload(ids, 5, offset=8), state)  # a state rolled back
    assert isinstance(refused, Failure)
    assert source.ledger.state(1, 1, (1, 2)) is PadState.BURNED


@pytest.mark.parametrize(
    ("offset", "num_words"), [(8, 5), (0, 5), (0, 14), (0, 16), (0, 0), (0, -8), (-8, 8), (4, 8)]
)
@pytest.mark.parametrize("chunk_words", [8, None])
def test_words_out_of_order_or_range_are_refused(chunk_words, offset, num_words):
    ids = (1, 2)
    handlers, states = asked_up_to_upload(
        ids, OsRandomSource(), updates_of(1, ids), chunk_words=chunk_words
    )
    outcome, _ = handlers[1]("upload", upload(ids, num_words, offset=offset), states[1])
    assert isinstance(outcome, Failure)


def test_rounds_only_go_up_and_old_messages_change_nothing():
    ids, source = (1, 2), OsRandomSource()
    updates = updates_of(1, ids)
    handlers, states = asked_up_to_upload(ids, source, updates, round_num=5)
    for action in ("reserve", "ready", "upload", "abort"):
        payload = {**terms_payload(make_terms(4, ids, 13, 16)), **upload(ids, round_num=4)}
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
        {"cohort": [1, 1, 2], "degree": 2},
        {"cohort": [-1, 1, 2], "degree": 2},
        {"num_words": 0},
        {"word_bits": 65},
        {"chunk_words": 12},
        {"chunk_words": 0},
        {"degree": 3},
        {"degree": 0},
        {"cohort": "1, 2"},
    ],
)
def test_an_unsound_reservation_is_refused(change):
    source = OsRandomSource()
    handler = pairwise_client(1, source, lambda _: None)
    payload = {**terms_payload(make_terms(1, (1, 2), 13, 16)), **change}
    outcome, state = handler("reserve", payload, ClientState())
    assert isinstance(outcome, Failure)
    assert state == ClientState(1, Stage.ENDED)
    assert source.ledger.totals() == (0, 0, 0)


def test_a_round_is_reserved_and_begun_once():
    source = OsRandomSource()
    handlers = handlers_of(updates_of(1, (1, 2)), source)
    terms = terms_payload(make_terms(1, (1, 2), 13, 16))
    announced = {"round_num": 1, "senders": [], "offsets": []}
    _, reserved = handlers[1]("reserve", terms, ClientState())
    _, ready = handlers[1]("ready", announced, reserved)
    for action, payload, state in [("reserve", terms, reserved), ("ready", announced, ready)]:
        outcome, _ = handlers[1](action, payload, state)
        assert isinstance(outcome, Failure)
        assert source.ledger.state(1, 1, (1, 2)) is PadState.BURNED


@pytest.mark.parametrize(
    ("senders", "offsets"), [([1, 3], [0, 0]), ([3], [0]), ([1, 1], [0, 0]), ([1], []), ([0], [0])]
)
def test_pads_announced_by_others_than_lower_neighbours_are_refused(senders, offsets):
    source = OsRandomSource()
    handler = pairwise_client(2, source, lambda _: np.zeros(13, np.uint16))
    terms = terms_payload(make_terms(1, (1, 2, 3), 13, 16))
    _, reserved = handler("reserve", terms, ClientState())
    announced = {"round_num": 1, "senders": senders, "offsets": offsets}
    outcome, _ = handler("ready", announced, reserved)
    assert isinstance(outcome, Failure)
    assert "pads come from [1]" in outcome.reason
    assert source.ledger.state(1, 2, (2, 3)) is PadState.BURNED


def test_a_member_whose_pad_was_never_announced_is_refused():
    """Else a server could leave a client with the masks of its accomplices only."""
    handler = pairwise_client(2, OsRandomSource(), lambda _: np.zeros(13, np.uint16))
    _, state = handler("reserve", terms_payload(make_terms(1, (1, 2, 3), 13, 16)), ClientState())
    _, state = handler("ready", {"round_num": 1, "senders": [], "offsets": []}, state)
    outcome, _ = handler("upload", upload((1, 2, 3)), state)
    assert isinstance(outcome, Failure)
    assert "no pad from [1]" in outcome.reason


def test_drop_outs_that_cut_the_graph_end_the_round_at_the_server_and_at_each_client():
    """Ring of 8 with 2 neighbours each: without two opposite clients two sums would open."""
    ids, seed, source = tuple(range(8)), b"any", OsRandomSource()
    ring = make_graph(ids, 2, seed).ring
    gone = (ring[0], ring[4])
    updates = {**updates_of(1, ids), **dict.fromkeys(gone)}
    with pytest.raises(ProtocolError, match=r"2 of 8 clients dropped out .* more than one sum"):
        drive(
            serve(ids, degree=2, graph_seed=seed),
            in_process(handlers_of(updates, source), fresh(ids)),
        )
    assert source.ledger.totals() == (0, 0, 8 * 2 * 26)
    handlers, states = asked_up_to_upload(
        ids, OsRandomSource(), updates_of(1, ids), degree=2, graph_seed=seed
    )
    members = [i for i in ids if i not in gone]
    outcome, _ = handlers[members[0]]("upload", upload(members), states[members[0]])
    assert isinstance(outcome, Failure)
    assert "more than one sum" in outcome.reason


@pytest.mark.parametrize("action", ["ready", "upload", "dance"])
def test_requests_without_a_reservation_are_refused(action):
    handler = pairwise_client(1, OsRandomSource(), lambda _: None)
    outcome, _ = handler(action, upload((1, 2)), ClientState())
    assert isinstance(outcome, Failure)


def test_an_update_of_another_size_is_refused():
    ids = (1, 2)
    handlers = handlers_of(updates_of(1, ids, num_words=12), OsRandomSource())
    with pytest.raises(ProtocolError, match="fewer than 2"):
        drive(serve(ids), in_process(handlers, fresh(ids)))


def test_fewer_than_two_clients_hide_nothing():
    for cohort in ((), (7,)):
        with pytest.raises(ProtocolError, match="fewer than 2 clients"):
            serve(cohort)
    updates = {**updates_of(3, (1, 2)), 2: None}
    with pytest.raises(ProtocolError, match=r"there are 1 \(\[1\]; 1 dropped out"):
        drive(
            serve((1, 2)),
            in_process(handlers_of(updates, OsRandomSource()), fresh((1, 2))),
        )


def test_terms_that_no_client_would_accept_do_not_leave_the_server():
    with pytest.raises(ProtocolError, match="multiple of 8"):
        serve((1, 2), 1, 13, 4, chunk_words=3)
    with pytest.raises(ConfigError, match="got degree 3"):
        serve(tuple(range(9)), degree=3)
    with pytest.raises(ProtocolError, match="ascending"):
        serve((2, 1))


def test_every_message_can_be_serialised():
    ids = (1, 2)
    handlers, phases = handlers_of(updates_of(1, ids), OsRandomSource()), []

    def watched(server):
        phase = next(server)
        while True:
            phases.extend(phase._replace(payload=phase.payload_for(i)) for i in phase.to)
            outcomes = yield phase
            phases.extend(Phase("reply", (), o.payload, 0.0) for o in outcomes.values())
            try:
                phase = server.send(outcomes)
            except StopIteration as end:
                return end.value

    drive(watched(serve(ids)), in_process(handlers, fresh(ids)))
    for phase in phases:
        for value in phase.payload.values():
            assert type(value) in (int, str, bytes, list)
            assert not isinstance(value, list) or all(type(item) is int for item in value)


def test_a_clients_state_does_not_print_its_update():
    ids = (1, 2)
    updates = {i: np.full(13, 12345, np.uint16) for i in ids}
    _, states = asked_up_to_upload(ids, OsRandomSource(), updates)
    assert "12345" not in f"{states} {states[1]!r}"
