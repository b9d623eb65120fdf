"""Small links and seeded generators for the tests of simulated QKD."""

from itertools import combinations

import numpy as np

from fedket.keys.material import KeyMaterial
from fedket.keys.qkd.conversation import Conversation, honest_wire
from fedket.keys.qkd.link import preshared_keys
from fedket.keys.qkd.network import link_network, network_links, optimised_link

SMALL_LINK = optimised_link((5.0, 5.0), pulses=2e7)
"""About 160,000 raw bits and 35,000 bits of key per block, in a tenth of a second."""


def seeded(seed):
    """A worthless replacement of os.urandom."""
    return np.random.default_rng(seed).bytes


def auth_keys(seed=0, blocks=4):
    return preshared_keys(blocks, seeded(seed))


def conversation(wire=honest_wire):
    return Conversation(KeyMaterial(b"a" * 32), KeyMaterial(b"b" * 32), wire)


def raw_bits(num_bits, error_rate, seed):
    """Alice's bits, and Bob's with independent errors."""
    rng = np.random.default_rng(seed)
    alice = rng.integers(0, 2, num_bits, dtype=np.uint8)
    wrong = (rng.random(num_bits) < error_rate).astype(np.uint8)
    return alice, alice ^ wrong


def uniform_network(nodes, loss_db, relay_mux=None):
    """Every two parties share a link of the same loss."""
    return link_network(dict.fromkeys(combinations(sorted(nodes), 2), loss_db), relay_mux)


def small_links(network):
    return network_links(network, pulses=2e7)
