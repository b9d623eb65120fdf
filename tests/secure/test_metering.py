import pytest

from fedket.errors import ProtocolError
from fedket.secure.metering import metered, payload_bytes
from fedket.secure.phases import Failure, Phase, Reply, drive, in_process


@pytest.mark.parametrize(
    ("payload", "num_bytes"),
    [
        ({}, 0),
        ({"round_num": 10**12}, 8),
        ({"words": b"12345"}, 5),
        ({"note": "é"}, 2),
        ({"members": [1, 2, 3], "offset": 0}, 32),
    ],
)
def test_payloads_are_weighed_by_their_values(payload, num_bytes):
    assert payload_bytes(payload) == num_bytes


def server():
    yield Phase("first", (1, 2), {"a": b"123"}, 1.0, {2: {"b": b"45"}}, pad_bits=7, mac_bits=1)
    yield Phase("second", (1,), {"a": b"1"}, 1.0, {2: {"b": b"not sent"}})
    yield Phase("first", (1, 2, 3), {}, 1.0, pad_bits=2)
    return "done"


def answer(action, payload, state):
    if action == "second":
        return Failure("not a reply, not a byte"), state
    return Reply({"got": payload.get("a", b"") + payload.get("b", b"")}), state


def test_costs_are_added_up_by_action_and_the_result_is_the_same():
    result, costs = drive(
        metered(server()), in_process({1: answer, 2: answer}, dict.fromkeys((1, 2, 3)))
    )
    assert result == "done"
    assert [cost._replace(seconds=0.0) for cost in costs] == [
        ("first", 3 + 5, 3 + 5, 9, 1, 0.0),
        ("second", 0, 1, 0, 0, 0.0),
    ]
    assert all(cost.seconds > 0 for cost in costs)


def test_a_protocol_that_gives_up_gives_up():
    def giving_up():
        yield Phase("first", (1,), {}, 1.0)
        raise ProtocolError("enough")

    with pytest.raises(ProtocolError, match="enough"):
        drive(metered(giving_up()), in_process({1: answer}, {1: None}))
