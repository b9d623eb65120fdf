from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import ConfigError, KeyExhaustedError
from fedket.keys.qkd.network import fibre_loss, link_network, star_network, uniform_network
from fedket.keys.qkd.presets import network_links, pair_rates
from fedket.keys.qkd.reservoir import (
    Reservoir,
    drain,
    empty_reservoir,
    fill,
    round_seconds,
    wait_for,
)
from fedket.types import KeyWait


def test_a_uniform_network_joins_every_two_parties_and_shares_the_relay():
    network = uniform_network([2, -1, 0], 20.0)
    assert network.nodes == (-1, 0, 2)
    assert dict(network.arms_db) == dict.fromkeys([(-1, 0), (-1, 2), (0, 2)], (10.0, 10.0))
    assert network.relay_mux == 3
    assert uniform_network(range(4), 20.0, relay_mux=1).relay_mux == 1


def test_in_a_star_every_party_has_one_fibre():
    arms = {0: fibre_loss(10.0, extra_db=3.0), 1: 8.0, 2: fibre_loss(20.0, 0.25)}
    assert arms == {0: 5.0, 1: 8.0, 2: 5.0}
    assert dict(star_network(arms).arms_db) == {(0, 1): (5, 8), (0, 2): (5, 5), (1, 2): (8, 5)}


def test_links_may_be_given_in_either_direction():
    network = link_network({(3, 1): (4.0, 6.0), (1, 2): 10.0})
    assert dict(network.arms_db) == {(1, 3): (6.0, 4.0), (1, 2): (5.0, 5.0)}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: uniform_network([1, 1], 20.0), "named once, got"),
        (lambda: uniform_network([1], 20.0), "1 or more links"),
        (lambda: uniform_network([1, 2], 20.0, relay_mux=0), "relay_mux 0"),
        (lambda: uniform_network([1, 2], -2.0), "loses 0 dB or more"),
        (lambda: link_network({(1, 1): 3.0}), "joins two parties"),
        (lambda: link_network({(1, 2): 3.0, (2, 1): 3.0}), "given once"),
        (lambda: link_network({(1, 2): float("nan")}), "loses 0 dB or more"),
        (lambda: fibre_loss(-1.0), "got -1.0 km"),
    ],
)
def test_networks_that_cannot_be_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_pairs_that_take_turns_divide_the_rate():
    alone, mixed = uniform_network(range(3), 20.0, relay_mux=1), uniform_network(range(3), 20.0)
    links = network_links(alone, pulses=1e9)
    one, third = pair_rates(alone, links), pair_rates(mixed, links)
    assert third == pytest.approx({pair: rate / 3 for pair, rate in one.items()})
    assert len({id(link) for link in links.values()}) == 1


def test_bb84_has_no_relay_in_between():
    network = link_network({(0, 1): (12.0, 3.0), (0, 2): (3.0, 12.0)})
    links = network_links(network, "bb84", pulses=1e9)
    assert links[0, 1].protocol == "bb84"
    assert links[0, 1].planned_bits() == pytest.approx(links[0, 2].planned_bits())


RATES = {(0, 1): 1000.0, (0, 2): 250.0, (1, 2): 0.0}


@given(
    level=st.floats(0, 1e6),
    demand=st.floats(0, 1e6),
    seconds=st.floats(0, 1e4),
)
def test_after_the_wait_the_demand_is_met_and_not_before(level, demand, seconds):
    reservoir = fill(Reservoir(5.0, {(0, 1): level, (0, 2): 0.0}), RATES, seconds)
    wait = wait_for(reservoir, RATES, {(0, 1): demand})
    ready = fill(reservoir, RATES, wait.seconds * (1 + 1e-9) + 1e-9)
    left = drain(ready, {(0, 1): demand}).level_bits[0, 1]
    assert ready.clock_s == pytest.approx(5 + seconds + wait.seconds)
    if wait.seconds > 1e-3:
        assert left == pytest.approx(0, abs=1e-2)
        with pytest.raises(KeyExhaustedError, match="of 0 and 1 has"):
            drain(fill(reservoir, RATES, 0.99 * wait.seconds), {(0, 1): demand})


def test_the_tight_link_is_the_one_that_is_ready_last():
    demand = {(0, 1): 3000.0, (0, 2): 1000.0}
    assert wait_for(empty_reservoir(RATES), RATES, demand) == KeyWait(4.0, (0, 2))
    assert round_seconds(RATES, demand) == KeyWait(4.0, (0, 2))
    filled = Reservoir(0.0, {(0, 2): 900.0})
    assert wait_for(filled, RATES, demand) == KeyWait(3.0, (0, 1))
    assert wait_for(filled, RATES, {(1, 2): 1.0}) == KeyWait(inf, (1, 2))
    assert wait_for(filled, RATES, {(0, 2): 900.0}) == KeyWait(0.0, None)
    assert wait_for(filled, RATES, {}) == KeyWait(0.0, None)


def test_a_round_that_is_refused_takes_nothing():
    reservoir = Reservoir(0.0, {(0, 1): 10.0, (0, 2): 10.0})
    with pytest.raises(KeyExhaustedError, match="a round needs 11"):
        drain(reservoir, {(0, 1): 10.0, (0, 2): 11.0})
    assert reservoir.level_bits == {(0, 1): 10.0, (0, 2): 10.0}
