"""Authenticated messages: what passes through unchanged, and what is refused."""

import pytest
from pairwise_parts import Wire, updates_of

from fedket.errors import KeyExhaustedError, KeyReusedError, ProtocolError
from fedket.keys.os_random import OsRandomSource
from fedket.secure.channel import ChannelState, authenticated_client, authenticated_server
from fedket.secure.phases import Failure, Phase, Reply, drive, in_process
from fedket.secure.protocol import Party

IDS = (4, 7)


def echo(action, payload, state):
    if payload.get("number") == 13:
        return Failure("unlucky"), state
    return Reply({"said": payload["number"], "to": [state]}), state + 1


def asking(*numbers):
    """A protocol that asks everybody a number after the other, and returns the outcomes."""
    heard = []
    for number in numbers:
        each = {4: {"extra": b"only for 4"}}
        outcomes = yield Phase("ask", IDS, {"round_num": 1, "number": number}, 2.0, each)
        heard.append(outcomes)
    return heard


class Session:
    def __init__(self, server, num_messages=3, round_num=1, source=None):
        self.source = source or OsRandomSource()
        self.keys = Party("a run", self.source)
        self.server = authenticated_server(server, self.keys, round_num, IDS, num_messages)
        self.handlers = {i: authenticated_client(echo, i, self.keys) for i in IDS}
        self.states = {i: ChannelState(0) for i in IDS}

    def run(self):
        return drive(self.server, in_process(self.handlers, self.states))


def test_answers_and_refusals_pass_through_and_every_message_has_a_key_of_its_own():
    session = Session(asking(5, 13, 6))
    first, second, third = session.run()
    assert [first[i].payload["said"] for i in IDS] == [5, 5]
    assert [third[i].payload["to"] for i in IDS] == [[1], [1]]
    assert set(second.values()) == {Failure("unlucky")}
    sent, answered = 2 * 3 * 32, 2 * 2 * 32  # per end; a refusal needs no key
    assert session.source.ledger.totals().consumed == 2 * sent + 2 * answered


def test_a_repeated_request_gets_the_same_bytes_and_the_handler_does_not_hear_it():
    session = Session(asking(5))
    phase = next(session.server)
    request = phase.payload_for(4)
    first, state = session.handlers[4]("ask", request, session.states[4])
    again, same = session.handlers[4]("ask", dict(request), state)
    assert again == first
    assert same is state
    assert state.inner == 1


def corrupted(request):
    yield {**request, "number": 6}
    yield {**request, "extra": b"only for me"}
    yield {name: value for name, value in request.items() if name != "extra"}
    yield {**request, "more": 1}
    yield {**request, "tag": bytes(16)}
    yield {**request, "mac_offset": request["mac_offset"] + 32}
    yield {name: value for name, value in request.items() if name != "tag"}


@pytest.mark.parametrize("which", range(7))
def test_a_client_gives_no_answer_to_a_message_the_server_did_not_write(which):
    session = Session(asking(5))
    request = list(corrupted(next(session.server).payload_for(4)))[which]
    outcome, state = session.handlers[4]("ask", request, session.states[4])
    assert isinstance(outcome, Failure)
    assert state is session.states[4]


def test_a_message_for_somebody_else_or_about_something_else_is_refused():
    session = Session(asking(5))
    phase = next(session.server)
    for action, request in [("ask", phase.payload_for(7)), ("tell", phase.payload_for(4))]:
        source = Session(asking(5))
        next(source.server)
        outcome, _ = source.handlers[4](action, request, source.states[4])
        assert "fails its MAC" in outcome.reason


def test_another_run_is_another_run():
    session = Session(asking(5))
    request = next(session.server).payload_for(4)
    stranger = authenticated_client(echo, 4, Party("another run", session.source))
    outcome, _ = stranger("ask", request, ChannelState(0))
    assert "fails its MAC" in outcome.reason


def test_messages_only_go_up_and_start_at_the_first():
    session = Session(asking(5, 6))
    handler, phase = session.handlers[4], next(session.server)
    first = phase.payload_for(4)
    answer, state = handler("ask", first, session.states[4])
    second = session.server.send({4: answer, 7: Failure("gone")}).payload_for(4)
    outcome, _ = handler("ask", second, session.states[4])
    assert "missed the start of round 1" in outcome.reason
    _, state = handler("ask", second, state)
    for message, old in enumerate([first, {**second, "number": 9}]):
        outcome, same = handler("ask", old, state)
        assert f"refuses message {message} of round 1" in outcome.reason
        assert same is state


def spoilt(answer):
    yield {**answer, "said": 6}
    yield {**answer, "tag": bytes(16)}
    yield {**answer, "mac_offset": 10**6}
    yield {**answer, "mac_offset": -1}
    yield {name: value for name, value in answer.items() if name != "tag"}
    yield {name: value for name, value in answer.items() if name != "mac_offset"}


@pytest.mark.parametrize("which", range(6))
def test_an_answer_the_client_did_not_write_counts_as_failed_and_the_others_go_on(which):
    session = Session(asking(5, 6))

    def tampered(action, payload, state):
        outcome, state = session.handlers[4](action, payload, state)
        if payload["message"] == 0:
            outcome = Reply(list(spoilt(outcome.payload))[which])
        return outcome, state

    first, second = drive(
        session.server, in_process({**session.handlers, 4: tampered}, session.states)
    )
    assert isinstance(first[4], Failure)
    assert first[7].payload["said"] == 5
    assert second[7].payload["said"] == 6


def test_what_is_left_of_a_rounds_keys_is_burned():
    session = Session(asking(5), num_messages=4)
    session.run()
    totals = session.source.ledger.totals()
    assert totals.consumed == 2 * 4 * 32  # a message and an answer per client, at both ends
    assert totals.burned == 2 * 2 * 3 * 32  # the server's ends; the clients' in the next round
    with pytest.raises(KeyReusedError):
        Session(asking(5), source=session.source).run()


def test_more_messages_than_keys_are_refused():
    with pytest.raises(KeyExhaustedError):
        Session(asking(1, 2, 3), num_messages=2).run()


def test_a_protocol_that_gives_up_is_heard_through_the_channel():
    def giving_up():
        yield Phase("ask", IDS, {"round_num": 1, "number": 5}, 2.0)
        raise ProtocolError("enough")

    with pytest.raises(ProtocolError, match="enough"):
        Session(giving_up()).run()


def test_states_and_messages_show_no_key(monkeypatch):
    monkeypatch.setattr("os.urandom", lambda num_bytes: b"\x5a" * num_bytes)
    wire = Wire(updates_of(1, (0, 1)), OsRandomSource())
    wire.run()
    shown = f"{wire.states} {wire.states[0].request}"
    assert "5a5a" not in shown
    assert "Z" * 8 not in shown


def test_what_the_channel_adds_is_counted():
    """The first phase tells the accounts of the keys of all messages: 2 directions, 2 clients."""
    phase = next(Session(asking(5), num_messages=3).server)
    assert phase.mac_bits == 2 * 2 * 3 * 256
