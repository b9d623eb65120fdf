"""What clients of Protocol A compare: terms with their own, and what they confirm to neighbours.

The attacks on real sites are in tests/deploy/test_attacks_lying_server.py.
"""

import jax
import numpy as np
import pytest
from pairwise_parts import Wire, low_bits, ring_sum, updates_of
from rounds import a_round, assert_same_bits, expected_cost

from fedket.errors import RoundLostError
from fedket.keys import OsRandomSource
from fedket.secure import (
    Party,
    client_side,
    fresh_state,
    pairwise_protocol,
    quantised_sum,
    reduce_in_process,
    server_side,
)
from fedket.secure.pairwise import protocol as pairwise
from fedket.secure.phases import drive, in_process

# A server that asks for less protection than was agreed (T9)


@pytest.mark.parametrize(
    ("asked", "seed", "told"),
    [
        ({"bits": 8}, b"", "goes by word_bits 16, the server asks for 8"),
        ({"degree": 2}, b"", "goes by degree 4, the server asks for 2"),
        ({"confirm": False}, b"", "goes by confirm True, the server asks for False"),
        ({}, b"chosen", "goes by graph_seed"),
    ],
    ids=["words", "degree", "confirmation", "graph"],
)
def test_a_server_cannot_ask_for_less_than_was_agreed(asked, seed, told):
    agreed = {"bits": 16, "clip": 1.0, "degree": 4, "confirm": True}
    values, context = a_round(3, 6)
    rows = {
        i: jax.tree.map(lambda leaf, k=k: leaf[k], values) for k, i in enumerate(context.client_ids)
    }
    party = Party("a run", OsRandomSource())
    protocol = pairwise_protocol(**agreed)
    handlers = {
        i: client_side(protocol, i, party, 13, lambda _, row=row: (context, lambda: row))
        for i, row in rows.items()
    }
    states = {i: fresh_state(protocol) for i in rows}
    server = server_side(
        pairwise_protocol(**agreed | asked),
        context._replace(graph_seed=seed),
        jax.tree.map(lambda leaf: leaf[0], values),
        party,
    )
    with pytest.raises(RoundLostError) as lost:
        drive(server, in_process(handlers, states))
    refused = lost.value.reasons
    assert set(refused) == set(context.client_ids)
    assert all(told in reason for reason in refused.values())


# What confirmations cost, and that they are compared (T2)


@pytest.mark.parametrize("changed", ["stated", "tags"])
def test_a_confirmation_that_was_altered_ends_the_round_before_any_upload(changed):
    """Between clients: the server passes it on and cannot alter it."""
    ids, seen = (0, 1, 2, 3), []

    def attack(client_id, action, way, payload):
        seen.append(action)
        if (action, way, client_id) == ("confirm", "answer", 2):
            data = bytearray(payload[changed])
            data[0] ^= 1
            return {**payload, changed: bytes(data)}
        return payload

    wire = Wire(updates_of(1, ids), OsRandomSource(), mac=False, attack=attack)
    with pytest.raises(RoundLostError, match="does not confirm under its MAC"):
        wire.run(confirm=True)
    assert "upload" in seen


def test_members_that_were_named_otherwise_to_one_of_them_upload_nothing():
    """Attack 6 on protocol A: two groups would open two sums."""
    ids, sent = (0, 1, 2, 3), []

    def attack(client_id, action, way, payload):
        if "members" in payload and way == "request" and client_id in (0, 1):
            return {**payload, "members": [0, 1]}
        if action == "upload" and way == "answer":
            sent.append(client_id)
        return payload

    naive = Wire(updates_of(1, ids), OsRandomSource(), mac=False, attack=attack)
    naive.run()
    assert sent == [0, 1, 2, 3]
    sent.clear()
    ours = Wire(updates_of(1, ids), OsRandomSource(), mac=False, attack=attack)
    with pytest.raises(RoundLostError):
        ours.run(confirm=True)
    assert not sent


def test_who_is_told_another_place_in_a_neighbours_key_confirms_nothing_to_it():
    """Else the neighbour would use pads that the other end has not set aside (T5)."""
    ids, sent = (0, 1, 2, 3), []

    def attack(client_id, action, way, payload):
        if (client_id, action, way) == (3, "ready", "request"):
            first, *others = payload["offsets"]
            return {**payload, "offsets": [first + 1, *others]}
        if action == "upload" and way == "answer":
            sent.append(client_id)
        return payload

    wire = Wire(updates_of(1, ids), OsRandomSource(), mac=False, attack=attack)
    with pytest.raises(RoundLostError, match="client 3 does not confirm"):
        wire.run(confirm=True)
    assert 0 not in sent


def test_with_confirmation_the_sum_is_the_same():
    ids = tuple(range(9))
    updates = updates_of(2, ids)
    total = Wire(updates, OsRandomSource()).run(confirm=True, degree=4, graph_seed=b"s")
    np.testing.assert_array_equal(low_bits(total.words, 16), ring_sum(updates))


@pytest.mark.parametrize("degree", ["auto", 4])
def test_a_round_with_confirmation_costs_what_was_told_before(monkeypatch, degree):
    """In pieces, too; and the sum is that of the words."""
    monkeypatch.setattr(pairwise, "PAD_MEMORY_BYTES", 1)
    values, context = a_round(4, 6)
    protocol = pairwise_protocol(16, 1.0, degree=degree, confirm=True)
    total, traffic = reduce_in_process(protocol, OsRandomSource())(values, context)
    assert_same_bits(total, quantised_sum(16, "headroom", 1.0)(values, context)[0])
    assert (traffic.upload_bytes, traffic.key_bits) == expected_cost(protocol, context)
    names = [phase.name for phase in traffic.phases]
    assert names == ["model", "reserve", "ready", "confirm", "upload"]
    pairs = 6 * (5 if degree == "auto" else degree) // 2
    assert traffic.phases[1].mac_bits == 2 * 256 * pairs
