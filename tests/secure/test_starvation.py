"""Demands are what protocols reserve; what gives way when key is short, and in which order."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_reducers import a_round, assert_same_bits

from fedket.errors import KeyExhaustedError
from fedket.keys.os_random import OsRandomSource
from fedket.secure import (
    Option,
    kept_values,
    masked_demand,
    masked_sum,
    per_link,
    quantised_sum,
    random_k,
    shared_mask_demand,
    shared_mask_sum,
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
    reduce = masked_sum(16, "safe", 1.0, source, degree=degree, mac=mac)
    _, traffic = reduce(contributions, context)
    demand = masked_demand(16, "safe", degree=degree, mac=mac)(context, 13)
    assert demand == source.reserved
    assert sum(per_link(demand).values()) == traffic.key_bits
    assert any(SERVER in stream for stream in demand) == mac


@pytest.mark.parametrize("malicious", [True, False])
@pytest.mark.parametrize(("num_clients", "colluders", "threshold"), [(4, 1, 3), (7, 2, 6)])
def test_shared_masks_reserve_exactly_their_demand(num_clients, colluders, threshold, malicious):
    contributions, context = a_round(1, num_clients)
    source = Recorder()
    terms = {"colluders": colluders, "threshold": threshold, "malicious": malicious}
    _, traffic = shared_mask_sum(8, 1.0, source, **terms)(contributions, context)
    demand = shared_mask_demand(8, **terms)(context, 13)
    assert demand == source.reserved
    assert sum(per_link(demand).values()) == traffic.key_bits


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


def options(source):
    return [
        Option(
            name,
            masked_sum(bits, "headroom", 1.0, source, mac=False),
            masked_demand(bits, "headroom", mac=False),
        )
        for name, bits in (("", 32), ("16 bits", 16), ("8 bits", 8))
    ]


@pytest.mark.parametrize(
    ("deadline", "bits"), [(52.0, 32), (51.0, 16), (26.0, 16), (25.0, 8), (13.0, 8)]
)
def test_the_first_option_whose_key_comes_in_time_is_taken(deadline, bits):
    """13 values take 52, 26 and 13 bytes, a second each."""
    source = Budget()
    assert isinstance(source, PacedKeySource)
    contributions, context = a_round(2, 3)
    total, traffic = starving_sum(options(source), source, deadline, 7.0)(contributions, context)
    expected, _ = quantised_sum(bits, "headroom", 1.0)(contributions, context)
    assert_same_bits(total, expected)
    assert traffic.starvation == ("" if bits == 32 else f"{bits} bits")
    assert traffic.key_levels == {(0, 1): 80}
    assert source.clock == [7.0]


def test_too_little_key_fails_closed_and_reserves_nothing():
    source = Budget()
    contributions, context = a_round(2, 3)
    with pytest.raises(KeyExhaustedError, match=r"8 bits: link \d+-\d+ needs 13 s"):
        starving_sum(options(source), source, 12.0)(contributions, context)
    total, _ = options(source)[0].reduce(contributions, context)  # the round is still unused
    assert total
    with pytest.raises(KeyExhaustedError, match=r"gives no key.*the relay is dark"):
        starving_sum(options(source), Budget("the relay is dark"), 1e9)(contributions, context)


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
    reduce = masked_sum(16, "safe", 1.0, Refusing(absent), mac=mac)
    total, traffic = reduce(contributions, context)
    assert list(traffic.missing) == [absent]
    assert "this end is empty" in traffic.missing[absent]
    rest = {name: np.asarray(leaf).copy() for name, leaf in contributions.items()}
    for leaf in rest.values():
        leaf[1] = 0
    expected, _ = quantised_sum(16, "safe", 1.0)(rest, context)
    for left, right in zip(total.values(), expected.values(), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)
