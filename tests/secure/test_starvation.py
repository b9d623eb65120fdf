"""Demands are what protocols reserve; what gives way when key is short, and in which order."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounds import a_round, assert_same_bits, expected_cost

from fedket.errors import KeyExhaustedError
from fedket.keys.os_random import OsRandomSource
from fedket.secure import (
    kept_values,
    masked_sum,
    options_of,
    pairwise_protocol,
    quantised_sum,
    random_k,
    reduce_in_process,
    round_cost,
    shared_masks_protocol,
    starving_sum,
)
from fedket.types import SERVER, KeyWait, PacedKeySource


class Recorder(OsRandomSource):
    """Remembers what is reserved."""

    def __init__(self):
        super().__init__()
        self.reserved = {}

    def reserve(self, round_num, client_id, lengths):
        self.reserved |= lengths
        return super().reserve(round_num, client_id, lengths)


class Budget(OsRandomSource):
    """A paced source that needs a second per byte, of the largest stream."""

    def __init__(self, problem=""):
        super().__init__()
        self.clock, self.said = [], problem

    def waiting_time(self, lengths):
        stream = max(lengths, key=lengths.get)
        return KeyWait(inf if self.said else lengths[stream], stream)

    def waited_s(self):
        return float(len(self.clock))

    def levels(self):
        return {(0, 1): 80}

    def problem(self):
        return self.said

    def advance(self, seconds):
        self.clock.append(seconds)


@pytest.mark.parametrize("mac", [True, False])
@pytest.mark.parametrize(
    ("num_clients", "degree"), [(2, "auto"), (5, "auto"), (9, 4), (23, "auto")]
)
def test_masked_sums_reserve_exactly_their_demand(num_clients, degree, mac):
    contributions, context = a_round(0, num_clients)
    source = Recorder()
    protocol = pairwise_protocol(16, 1.0, modulus="safe", degree=degree, authenticate=mac)
    _, traffic = reduce_in_process(protocol, source)(contributions, context)
    assert round_cost(protocol, context, 13).key == source.reserved
    assert (traffic.upload_bytes, traffic.key_bits) == expected_cost(protocol, context)
    assert any(SERVER in stream for stream in source.reserved) == mac


@pytest.mark.parametrize("malicious", [True, False])
@pytest.mark.parametrize(("num_clients", "colluders", "threshold"), [(4, 1, 3), (7, 2, 6)])
def test_shared_masks_reserve_exactly_their_demand(num_clients, colluders, threshold, malicious):
    contributions, context = a_round(1, num_clients)
    source = Recorder()
    protocol = shared_masks_protocol(
        8, 1.0, colluders=colluders, threshold=threshold, malicious=malicious
    )
    _, traffic = reduce_in_process(protocol, source)(contributions, context)
    assert round_cost(protocol, context, 13).key == source.reserved
    assert (traffic.upload_bytes, traffic.key_bits) == expected_cost(protocol, context)


@given(seed=st.integers(0, 2**20), fraction=st.sampled_from([1 / 8, 1 / 2, 1.0]))
def test_a_random_part_is_summed_and_the_rest_stays_zero(seed, fraction):
    contributions, context = a_round(seed, 3)
    whole, _ = quantised_sum(16, "safe", 1.0)(contributions, context)
    seen = []

    def spy(parts, context):
        seen.append({name: leaf.shape for name, leaf in parts.items()})
        return quantised_sum(16, "safe", 1.0)(parts, context)

    some, _ = random_k(spy, fraction)(contributions, context)
    assert seen == [{"angles": (3, kept_values(12, fraction)), "bias": (3, 1)}]
    for part, full in zip(some.values(), whole.values(), strict=True):
        part, full = np.asarray(part), np.asarray(full)
        assert part.shape == full.shape
        assert np.count_nonzero(part) <= kept_values(part.size, fraction)
        np.testing.assert_allclose(part[part != 0], full[part != 0], atol=2e-4)


def test_the_random_part_changes_with_the_round_and_with_nothing_that_is_private():
    zeros = [a_round(4, 3, round_num)[1] for round_num in (1, 1, 2)]
    ones = {"angles": np.ones((3, 200), np.float32)}

    def chosen(context):
        total, _ = random_k(quantised_sum(16, "safe", 2.0), 1 / 4)(ones, context)
        return np.flatnonzero(np.asarray(total["angles"])).tolist()

    first, again, later = map(chosen, zeros)
    assert first == again != later
    assert len(first) == 50


OPTIONS = options_of(pairwise_protocol(32, 1.0, authenticate=False), ["lower_bits"], 3)


def test_steps_of_a_policy_go_on_from_what_was_given_up_before():
    protocol = pairwise_protocol(32, 1.0)
    options = options_of(protocol, ["lower_bits", "smaller_degree", "sparsify"], 100)
    parts = [f"8 bits, degree 12, 1/{n} of the coordinates" for n in (2, 4, 8)]
    assert [o.name for o in options] == ["", "16 bits", "8 bits", "8 bits, degree 12", *parts]
    context = a_round(0, 100)[1]
    keys = [
        sum(round_cost(o.protocol, context, kept_values(10_000, o.fraction)).key.values())
        for o in options
    ]
    assert keys == sorted(keys, reverse=True)
    protocol = shared_masks_protocol(16, 1.0, colluders=1, threshold=3)
    assert [o.name for o in options_of(protocol, ["smaller_degree"], 4)] == [""]


@pytest.mark.parametrize(
    ("deadline", "bits"), [(52.0, 32), (51.0, 16), (26.0, 16), (25.0, 8), (13.0, 8)]
)
def test_the_first_option_whose_key_comes_in_time_is_taken(deadline, bits):
    """13 values take 52, 26 and 13 bytes, a second each."""
    source = Budget()
    assert isinstance(source, PacedKeySource)
    contributions, context = a_round(2, 3)
    total, traffic = starving_sum(OPTIONS, source, deadline, 7.0)(contributions, context)
    expected, _ = quantised_sum(bits, "headroom", 1.0)(contributions, context)
    assert_same_bits(total, expected)
    assert traffic.starvation == ("" if bits == 32 else f"{bits} bits")
    assert traffic.key_levels == {(0, 1): 80}
    assert source.clock == [7.0]


def test_too_little_key_fails_closed_and_reserves_nothing():
    source = Budget()
    contributions, context = a_round(2, 3)
    with pytest.raises(KeyExhaustedError, match=r"8 bits: link \d+-\d+ needs 13 s"):
        starving_sum(OPTIONS, source, 12.0)(contributions, context)
    reduce = reduce_in_process(OPTIONS[0].protocol, source)
    total, _ = reduce(contributions, context)  # the round is still unused
    assert total
    with pytest.raises(KeyExhaustedError, match=r"gives no key.*the relay is dark"):
        starving_sum(OPTIONS, Budget("the relay is dark"), 1e9)(contributions, context)


class Refusing(OsRandomSource):
    """One client has no key at all."""

    def __init__(self, client):
        super().__init__()
        self.client = client

    def reserve(self, round_num, client_id, lengths):
        if client_id == self.client:
            raise KeyExhaustedError("this end is empty")
        return super().reserve(round_num, client_id, lengths)


@pytest.mark.parametrize("mac", [True, False])
def test_who_drops_out_before_masking_is_named_and_missing_from_the_sum(mac):
    contributions, context = a_round(3, 4)
    absent = context.client_ids[1]
    reduce = masked_sum(16, "safe", 1.0, Refusing(absent), authenticate=mac)
    total, traffic = reduce(contributions, context)
    assert list(traffic.missing) == [absent]
    assert "this end is empty" in traffic.missing[absent]
    rest = {name: np.asarray(leaf).copy() for name, leaf in contributions.items()}
    for leaf in rest.values():
        leaf[1] = 0
    expected, _ = quantised_sum(16, "safe", 1.0)(rest, context)
    for left, right in zip(total.values(), expected.values(), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)
