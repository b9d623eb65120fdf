import pytest

from fedket.errors import ProtocolError
from fedket.secure.phases import Failure, Phase, Reply, drive, in_process, integer, integers, octets


def counting_server():
    first = yield Phase("add", (1, 2, 3), {"number": 5}, 2.0)
    second = yield Phase("add", (2,), {"number": 1}, 2.0)
    return first, second


def adder(action, payload, state):
    if integer(payload, "number") > 4 and state == 20:
        return Failure("too much"), state
    return Reply({"total": state + integer(payload, "number")}), state + integer(payload, "number")


def test_the_driver_carries_replies_failures_and_states():
    states = {1: 10, 2: 100, 3: 20}
    first, second = drive(counting_server(), in_process({1: adder, 2: adder, 3: adder}, states))
    assert first == {1: Reply({"total": 15}), 2: Reply({"total": 105}), 3: Failure("too much")}
    assert second == {2: Reply({"total": 106})}
    assert states == {1: 15, 2: 106, 3: 20}


def test_a_client_without_handler_is_a_missed_deadline():
    first, _ = drive(counting_server(), in_process({1: adder, 2: adder}, {1: 0, 2: 0}))
    assert first[3] == Failure("client 3 did not answer within 2 s")


def test_states_are_kept_when_the_server_gives_up():
    def giving_up():
        yield Phase("add", (1,), {"number": 5}, 2.0)
        raise ProtocolError("enough")

    states = {1: 10}
    with pytest.raises(ProtocolError, match="enough"):
        drive(giving_up(), in_process({1: adder}, states))
    assert states == {1: 15}


@pytest.mark.parametrize(
    ("read", "value"),
    [(integer, "5"), (integer, None), (integers, 5), (integers, [1, "2"]), (octets, "x")],
)
def test_a_field_of_the_wrong_kind_is_named(read, value):
    with pytest.raises(ProtocolError, match="field `x` of a message should be"):
        read({} if value is None else {"x": value}, "x")
