"""Attack 10: an eavesdropper on a simulated link, who measures and resends the pulses.

She cannot be heard in the sum, only in the errors of her link: it gives no key, and a round that
needs its key fails closed, until somebody has looked after the link.
"""

from itertools import combinations

import jax.numpy as jnp
import numpy as np
import pytest

from fedket.errors import KeyExhaustedError, ProtocolError
from fedket.keys.qkd.link_run import LinkAlarmError
from fedket.keys.qkd.network import link_network, network_links
from fedket.keys.qkd.source import SimulatedKeySource
from fedket.secure import masked_sum
from fedket.types import SERVER, RoundContext

CLIENTS = (0, 1, 2)
NETWORK = link_network(dict.fromkeys(combinations([SERVER, *CLIENTS], 2), 10.0))
LINKS = network_links(NETWORK, pulses=2e7)
BLOCK_S = LINKS[0, 1].block_seconds * NETWORK.relay_mux


def tapped(share, pair=(0, 1)):
    """A network with an eavesdropper on one link, and the reducer that uses it."""
    source = SimulatedKeySource(NETWORK, LINKS, physics_seed=1, post_processing="sampled")
    source.intercept(pair, share)
    return source, masked_sum(16, "headroom", 1.0, source)


def check_round(reduce, round_num, clients=CLIENTS, members=CLIENTS):
    """Hold a round and check that the members' updates, and no others, are in the sum."""
    rng, weights = np.random.default_rng(round_num), (1 / len(clients),) * len(clients)
    values = jnp.asarray(rng.uniform(-0.3, 0.3, (len(clients), 13)), jnp.float32)
    total, _ = reduce(values, RoundContext(0, round_num, clients, weights))
    expected = sum(values[clients.index(i)] for i in members)
    np.testing.assert_allclose(total, expected, rtol=0, atol=len(clients) / 2**14)


def test_10_who_measures_and_resends_leaves_errors_that_a_link_without_a_test_would_not_see():
    """The naive link: raw bits of equal bases are key. She knows half of them for certain."""
    rng = np.random.default_rng(1)
    bits, bases, hers = rng.integers(0, 2, (3, 40_000))
    measured = np.where(hers == bases, bits, rng.integers(0, 2, bits.size))
    received = np.where(hers == bases, measured, rng.integers(0, 2, bits.size))
    assert np.mean(measured == bits) == pytest.approx(0.75, abs=0.02)
    assert np.mean(received != bits) == pytest.approx(0.25, abs=0.02)  # what our links test for


def test_10_a_tapped_link_between_clients_ends_in_zero_key_and_an_alarm():
    source, reduce = tapped(1.0)
    with pytest.raises(LinkAlarmError, match="link of 0 and 1 raised INTRUSION") as error:
        source.reserve(1, 0, {(0, 1): 26})
    assert isinstance(error.value, KeyExhaustedError)
    assert source.levels()[0, 1] == 0
    with pytest.raises(ProtocolError, match=r"fewer than 2 clients.* raised INTRUSION"):
        check_round(reduce, 2, clients=(0, 1))
    assert source.ledger.position(0, (0, 1)) == source.ledger.position(1, (0, 1)) == 0


def test_10_after_tapping_began_the_link_is_not_used_until_somebody_says_that_it_is_over():
    """Its sender cannot reserve and drops out before READY; the others' sum is theirs alone."""
    source, reduce = tapped(0.0)
    check_round(reduce, 1)
    source.intercept((0, 1), 1.0)
    source.advance(2 * BLOCK_S)
    assert source.waiting_time({(0, 1): 26}).seconds == float("inf")
    spent = source.ledger.position(0, (0, 1))
    check_round(reduce, 2, members=(1, 2))
    source.intercept((0, 1), 0.0)
    check_round(reduce, 3, members=(1, 2))  # she may be gone, nobody has said so
    assert source.ledger.position(0, (0, 1)) == spent == 26
    source.clear_alarm((0, 1))
    check_round(reduce, 4)
    assert source.ledger.position(0, (0, 1)) == 52


def test_10_a_tapped_link_with_the_server_stops_the_messages_on_it():
    source, reduce = tapped(1.0, (SERVER, 0))
    with pytest.raises(LinkAlarmError, match=f"link of {SERVER} and 0 raised INTRUSION"):
        check_round(reduce, 1)
    assert source.ledger.totals().consumed == 0


def test_10_who_touches_few_pulses_shortens_the_key():
    """No alarm, but what she may know is taken off: the key shrinks."""
    lengths = []
    for share in (0.0, 0.02):
        source, _ = tapped(share)
        source.advance(4 * BLOCK_S)
        lengths.append(source.levels()[0, 1])
    assert lengths[1] < 0.9 * lengths[0]
