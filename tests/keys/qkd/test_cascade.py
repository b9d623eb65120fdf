import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qkd_parts import conversation, raw_bits

from fedket.keys.qkd.blocks import binary_entropy
from fedket.keys.qkd.cascade import FRAME_BITS, Shuffles, _parities, frame_sizes, reconcile
from fedket.keys.qkd.conversation import ConversationError


@pytest.mark.parametrize("num_bits", [1, 63, 64, 1000, 5000])
@pytest.mark.parametrize("error_rate", [0.0, 0.01, 0.1])
@given(seed=st.integers(0, 2**31 - 1))
def test_bobs_bits_become_alices(num_bits, error_rate, seed):
    alice, bob = raw_bits(num_bits, error_rate, seed)
    before = alice.copy(), bob.copy()
    fixed = reconcile(alice, bob, 0.02, seed, conversation())
    assert fixed.complete
    assert np.array_equal(fixed.bits, alice)
    assert fixed.corrected >= np.count_nonzero(before[0] != before[1])
    assert np.array_equal(alice, before[0])
    assert np.array_equal(bob, before[1])


@pytest.mark.parametrize(
    ("num_bits", "error_rate", "most"),
    [(100_000, 0.01, 1.08), (100_000, 0.02, 1.08), (2**19, 0.01, 1.05), (2**19, 0.02, 1.05)],
)
def test_what_is_disclosed_is_close_to_shannons_limit(num_bits, error_rate, most):
    alice, bob = raw_bits(num_bits, error_rate, 3)
    fixed = reconcile(alice, bob, error_rate, 4, conversation())
    wrong = float(np.mean(alice != bob))
    assert np.array_equal(fixed.bits, alice)
    assert 1 < fixed.disclosed / (num_bits * binary_entropy(wrong)) < most


def test_what_is_disclosed_is_what_alice_says():
    said = {"alice": 0, "bob": 0}
    messages = []

    def wire(sender, message):
        said[sender] += len(message)
        messages.append((sender, message))
        return message

    alice, bob = raw_bits(20_000, 0.02, 5)
    fixed = reconcile(alice, bob, 0.02, 6, conversation(wire))
    answers = [message for sender, message in messages if sender == "alice"]
    # Parities travel packed, so each message has less than a byte of padding.
    assert fixed.disclosed <= 8 * said["alice"] < fixed.disclosed + 8 * len(answers)


def test_it_is_as_good_as_the_cascade_of_the_package_qkd():
    qkd = pytest.importorskip("qkd", reason="the oracle `qkd` 0.2 is not installed")
    if not qkd.__file__:  # this very folder, as a namespace
        pytest.skip("the oracle `qkd` 0.2 is not installed")
    oracle = qkd.reconcile
    for error_rate in (0.01, 0.02):
        theirs, _ = oracle.run_cascade(error_rate, frames=8)  # frames of 2**14 bits
        ours = 0
        for seed in range(8):
            alice, bob = raw_bits(2**14, error_rate, seed)
            ours += reconcile(alice, bob, error_rate, seed, conversation()).disclosed / 8
        assert ours < 1.06 * theirs


@pytest.mark.parametrize("estimate", [1e-9, 0.002, 0.2, 0.5])
def test_a_wrong_estimate_costs_bits_but_not_the_result(estimate):
    alice, bob = raw_bits(20_000, 0.02, 8)
    fixed = reconcile(alice, bob, estimate, 9, conversation())
    good = reconcile(alice, bob, 0.02, 9, conversation())
    assert np.array_equal(fixed.bits, alice)
    assert fixed.disclosed > good.disclosed


def test_errors_in_a_burst_are_found_as_well():
    alice, bob = raw_bits(2**15, 0.0, 10)
    bob[1000:1400] ^= 1
    assert np.array_equal(reconcile(alice, bob, 0.01, 11, conversation()).bits, alice)


@given(num_bits=st.integers(0, 3 * FRAME_BITS))
def test_frames_cover_the_bits_with_little_padding(num_bits):
    sizes = frame_sizes(num_bits)
    assert all(size.bit_count() == 1 and 64 <= size <= FRAME_BITS for size in sizes)
    assert num_bits <= sum(sizes) < max(num_bits + 64, num_bits + 2**11 + 1)
    assert sizes == sorted(sizes, reverse=True)


@given(seed=st.integers(0, 2**31 - 1))
def test_a_node_of_the_tree_is_the_parity_of_its_bits(seed):
    bits = np.random.default_rng(seed).integers(0, 2, 64, dtype=np.uint8)
    tree = _parities(bits)
    for level in range(7):
        blocks = bits.reshape(2**level, -1).sum(axis=1) % 2
        assert np.array_equal(tree[2**level : 2 ** (level + 1)], blocks)


def test_shuffles_are_permutations_that_both_ends_make_alike():
    one, two, other = Shuffles(256, 1), Shuffles(256, 1), Shuffles(256, 2)
    for number in (2, 0, 1):
        order, place = one[number]
        assert np.array_equal(order[place], np.arange(256))
        assert np.array_equal(order, two[number].order)
    assert np.array_equal(one[0].order, np.arange(256))
    assert not np.array_equal(one[1].order, other[1].order)


@given(seed=st.integers(0, 2**31 - 1), share=st.floats(0.01, 1))
def test_an_attacker_who_flips_messages_never_makes_it_hang(seed, share):
    rng = np.random.default_rng(seed)

    def wire(_sender, message):
        if rng.random() > share:
            return message
        return bytes(rng.integers(0, 256, len(message), dtype=np.uint8))

    alice, bob = raw_bits(3000, 0.02, seed)
    try:
        fixed = reconcile(alice, bob, 0.02, seed, conversation(wire))
    except ConversationError:
        return
    assert fixed.bits.shape == alice.shape
