import pytest
from qkd_parts import uniform_network

from fedket.errors import ConfigError
from fedket.keys.qkd.network import link_network, network_links, pair_rates


def test_links_may_be_given_in_either_direction():
    network = link_network({(3, 1): (4.0, 6.0), (1, 2): 10.0})
    assert dict(network.arms_db) == {(1, 3): (6.0, 4.0), (1, 2): (5.0, 5.0)}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: uniform_network([1], 20.0), "1 or more links"),
        (lambda: uniform_network([1, 2], 20.0, relay_mux=0), "relay_mux 0"),
        (lambda: uniform_network([1, 2], -2.0), "loses 0 dB or more"),
        (lambda: link_network({(1, 1): 3.0}), "joins two parties"),
        (lambda: link_network({(1, 2): 3.0, (2, 1): 3.0}), "given once"),
        (lambda: link_network({(1, 2): float("nan")}), "loses 0 dB or more"),
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
