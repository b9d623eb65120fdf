"""What a round costs; that a round really costs it is tested with the reducers."""

import pytest

from fedket.secure.costs import (
    key_bits_per_pair,
    key_bits_per_round,
    mac_bits_per_client,
    masked_upload_bytes,
    upload_bytes,
)


def test_key_and_byte_budgets_are_the_papers():
    """LeNet-5, 61,706 values: 493,648 key bits per pair at q = 8 (spec/papers.md, section 2)."""
    assert key_bits_per_pair(61_706, 8, "headroom", 4) == 493_648
    assert upload_bytes(61_706, 8, "headroom", 4) * 4 == 61_706 * 4  # 25 % of float32
    assert upload_bytes(13, 4, "headroom", 4) == 7
    assert upload_bytes(61_706, 16, "safe", 20) == -(-61_706 * 21 // 8)


def test_a_round_costs_a_pad_per_edge_and_a_key_per_message():
    """spec/secure-aggregation.md: k*w*d key bits per client, counted at both ends of each pad."""
    assert key_bits_per_round(8, 8, "headroom", 20, mac=False) == 190 * 64
    degree_22 = {"degree": 22, "mac": False}
    assert key_bits_per_round(61_706, 16, "headroom", 200, **degree_22) == 200 * 22 * 987_296 // 2
    with_macs = key_bits_per_round(61_706, 16, "headroom", 200, degree=22)
    assert with_macs - 200 * 11 * 987_296 == 200 * mac_bits_per_client() == 200 * 2048
    assert mac_bits_per_client(num_pieces=3) == 2 * 256 * 6


@pytest.mark.parametrize(("bad_fraction", "degree"), [(0.1, 14), (0.2, 22), (0.33, 30)])
def test_the_graph_is_the_smallest_that_the_bad_fraction_allows(bad_fraction, degree):
    options = {"bad_fraction": bad_fraction, "mac": False}
    assert key_bits_per_round(1, 8, "headroom", 200, **options) == 200 * degree // 2 * 8


def test_all_that_clients_send_is_words_offsets_and_tags():
    """Tags on the answers to RESERVE, READY and UPLOAD; one more offset, of the MAC keys."""
    assert masked_upload_bytes(13, 8, "headroom", 4, mac=False) == 4 * 13 + 6 * 8
    assert masked_upload_bytes(13, 8, "headroom", 4) == 4 * (13 + 3 * 16 + 8) + 6 * 8
