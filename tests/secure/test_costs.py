"""What a round costs; that a round really costs it is tested with the reducers."""

import pytest

from fedket.secure import pairwise_protocol, per_link, quantised_protocol, round_cost
from fedket.types import SERVER, RoundContext


def cost_of(protocol, num_values, num_clients):
    context = RoundContext(0, 1, tuple(range(num_clients)), (1 / num_clients,) * num_clients)
    return round_cost(protocol, context, num_values)


def key_bits(cost):
    return 8 * sum(cost.key.values())


def test_key_and_byte_budgets_are_the_papers():
    """LeNet-5, 61,706 values: 493,648 key bits per pair at q = 8 (spec/papers.md, section 2)."""
    cost = cost_of(pairwise_protocol(8, 1.0), 61_706, 4)
    assert per_link(cost.key)[0, 1] == 493_648
    assert cost.vector_bytes * 4 == 61_706 * 4  # 25 % of float32
    assert cost_of(quantised_protocol(4, 1.0), 13, 4).vector_bytes == 7
    safe = quantised_protocol(16, 1.0, modulus="safe")
    assert cost_of(safe, 61_706, 20).vector_bytes == -(-61_706 * 21 // 8)


def test_a_round_costs_a_pad_per_edge_and_a_key_per_message():
    """spec/secure-aggregation.md: k*w*d key bits per client, counted at both ends of each pad."""
    alone = pairwise_protocol(8, 1.0, authenticate=False)
    assert key_bits(cost_of(alone, 8, 20)) == 190 * 64
    cost = cost_of(pairwise_protocol(16, 1.0, degree=22), 61_706, 200)
    num_pieces = cost.num_requests - 4
    macs = {pair: bits for pair, bits in per_link(cost.key).items() if SERVER in pair}
    assert key_bits(cost) - sum(macs.values()) == 200 * 22 * 987_296 // 2
    assert len(macs) == 200
    assert set(macs.values()) == {2 * 256 * (4 + num_pieces)}


@pytest.mark.parametrize(("corrupt_fraction", "degree"), [(0.1, 14), (0.2, 22), (0.33, 30)])
def test_the_graph_is_the_smallest_that_the_corrupt_fraction_allows(corrupt_fraction, degree):
    protocol = pairwise_protocol(
        8, 1.0, modulus="safe", corrupt_fraction=corrupt_fraction, authenticate=False
    )
    assert key_bits(cost_of(protocol, 1, 200)) == 200 * degree // 2 * 16


def test_all_that_clients_send_is_words_offsets_and_tags():
    """Tags on the answers to MODEL, RESERVE, READY, UPLOAD; one more offset, of the MAC keys."""
    alone = pairwise_protocol(8, 1.0, authenticate=False)
    assert cost_of(alone, 13, 4).upload_bytes == 4 * 13 + 6 * 8
    cost = cost_of(pairwise_protocol(8, 1.0), 13, 4)
    assert cost.upload_bytes == 4 * (13 + 4 * 16 + 8) + 6 * 8
