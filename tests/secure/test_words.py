import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.errors import ConfigError, ProtocolError
from fedket.secure.words import pack_words, packed_size, unpack_words, word_dtype


def random_words(seed: int, num_words: int, word_bits: int) -> np.ndarray:
    words = np.random.default_rng(seed).integers(0, 2**64, num_words, np.uint64, endpoint=False)
    return (words >> np.uint64(64 - word_bits)).astype(word_dtype(word_bits))


@pytest.mark.parametrize("word_bits", range(1, 65))
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31 - 1), num_words=st.integers(0, 70))
def test_words_survive_the_wire_and_take_exactly_their_bits(word_bits, seed, num_words):
    words = random_words(seed, num_words, word_bits)
    data = pack_words(words, word_bits)
    assert len(data) == -(-word_bits * num_words // 8) == packed_size(num_words, word_bits)
    back = unpack_words(data, num_words, word_bits)
    assert back.dtype == words.dtype
    np.testing.assert_array_equal(back, words)


@pytest.mark.parametrize("word_bits", [3, 8, 12, 16, 21, 33, 64])
def test_packing_equals_one_long_number_in_base_two(word_bits):
    words = random_words(7, 13, word_bits)
    number = sum(int(word) << (word_bits * k) for k, word in enumerate(words))
    assert pack_words(words, word_bits) == number.to_bytes(packed_size(13, word_bits), "little")


@pytest.mark.parametrize("word_bits", [4, 12, 21, 50])
def test_packing_reduces_modulo_the_word(word_bits):
    words = random_words(3, 20, word_bits)
    carried = words + words.dtype.type((1 << word_bits) % 2 ** (8 * words.dtype.itemsize))
    assert pack_words(carried, word_bits) == pack_words(words, word_bits)


@pytest.mark.parametrize("word_bits", [1, 4, 7, 20, 21, 50])
def test_every_byte_string_is_a_valid_pad(word_bits):
    data = np.random.default_rng(1).bytes(packed_size(64, word_bits))
    assert pack_words(unpack_words(data, 64, word_bits), word_bits) == data


def test_wrong_lengths_and_widths_are_refused():
    with pytest.raises(ProtocolError, match="3 words of 12 bits are 5 bytes, got 4"):
        unpack_words(bytes(4), 3, 12)
    for word_bits in (0, 65):
        with pytest.raises(ConfigError, match="1 to 64 bits"):
            word_dtype(word_bits)
