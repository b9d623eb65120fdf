"""Small links and seeded generators for the tests of simulated QKD."""

import numpy as np

from fedket.keys.material import KeyMaterial
from fedket.keys.qkd.conversation import Conversation, honest_wire
from fedket.keys.qkd.link import preshared_keys
from fedket.keys.qkd.presets import network_links, optimised_mdi_link

SMALL_LINK = optimised_mdi_link((5.0, 5.0), pulses=2e7)
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


def small_links(network):
    return network_links(network, pulses=2e7)
