import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import KeyMaterialError
from fedket.keys.qkd import toeplitz
from fedket.keys.qkd.toeplitz import amplify, seed_length


def bits(rng, size):
    return rng.integers(0, 2, size, dtype=np.uint8)


@given(
    num_bits=st.integers(1, 200),
    share=st.floats(0, 1),
    piece=st.integers(1, 300),
    seed=st.integers(0, 2**31 - 1),
)
def test_it_is_the_product_with_the_matrix_however_it_is_cut(num_bits, share, piece, seed):
    rng = np.random.default_rng(seed)
    key_bits = round(share * num_bits)
    vector, diagonals = bits(rng, num_bits), bits(rng, seed_length(num_bits, key_bits))
    i, j = np.indices((key_bits, num_bits))
    matrix = diagonals[i - j + num_bits - 1].astype(int)
    assert np.array_equal(amplify(vector, diagonals, key_bits, piece), matrix @ vector % 2)


@pytest.mark.parametrize("piece", [2**17, 2**21])
def test_a_million_bits_agree_with_integer_sums(piece):
    rng = np.random.default_rng(1)
    vector = np.ones(10**6, np.uint8)  # the largest sums
    diagonals = rng.random(seed_length(10**6, 400_000)) < 0.97
    key = amplify(vector, diagonals.astype(np.uint8), 400_000, piece)
    sums = np.cumsum(np.concatenate([[0], diagonals]))
    exact = sums[10**6 : 10**6 + 400_000] - sums[:400_000]
    assert np.array_equal(key, exact % 2)


@given(seed=st.integers(0, 2**31 - 1))
def test_it_is_linear(seed):
    rng = np.random.default_rng(seed)
    a, b, diagonals = bits(rng, 500), bits(rng, 500), bits(rng, 699)
    assert np.array_equal(
        amplify(a, diagonals, 200) ^ amplify(b, diagonals, 200), amplify(a ^ b, diagonals, 200)
    )


def test_two_strings_collide_under_exactly_the_share_of_seeds_of_a_universal_family():
    num_bits, key_bits = 4, 2
    length = seed_length(num_bits, key_bits)
    seeds = [np.array(s, np.uint8) for s in itertools.product((0, 1), repeat=length)]
    for difference in itertools.product((0, 1), repeat=num_bits):
        vector = np.array(difference, np.uint8)
        collisions = sum(not amplify(vector, seed, key_bits).any() for seed in seeds)
        assert collisions == len(seeds) // (2**key_bits if any(difference) else 1)


def test_lengths_that_do_not_fit_are_refused():
    vector = np.zeros(10, np.uint8)
    for diagonals, key_bits in [(20, 11), (13, 5), (15, 5), (8, -1)]:
        with pytest.raises(KeyMaterialError, match="needs a seed of"):
            amplify(vector, np.zeros(diagonals, np.uint8), key_bits)


def test_a_doubtful_sum_is_an_error_and_not_a_key(monkeypatch):
    monkeypatch.setattr(toeplitz, "LARGEST_DOUBT", 0.0)
    rng = np.random.default_rng(3)
    with pytest.raises(KeyMaterialError, match="from whole numbers"):
        amplify(bits(rng, 1000), bits(rng, 1399), 400)
