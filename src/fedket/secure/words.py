"""Arrays of w-bit words and their bytes on the wire, for any w from 1 to 64.

Word k occupies bits k*w .. k*w + w - 1 of a little-endian bit stream (bit 0 is the least
significant bit of byte 0), so d words take exactly ceil(w*d/8) bytes; the last byte is padded
with zeros. In memory a word lives in the smallest unsigned integer that holds it: sums wrap
modulo 2^8, 2^16, 2^32 or 2^64, and `pack_words` reduces modulo 2^w, so ring arithmetic on these
arrays needs no reduction of its own.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Int64, UInt

from fedket.errors import ConfigError, ProtocolError

Words = UInt[np.ndarray, " words"]
Integers = Int64[np.ndarray, " values"]


@lru_cache(maxsize=64)
def word_dtype(word_bits: int) -> np.dtype[np.unsignedinteger]:
    """Return the smallest unsigned dtype that holds a word.

    Raises:
        ConfigError: `word_bits` is not in 1..64.
    """
    if not 1 <= word_bits <= 64:
        raise ConfigError(f"a word has 1 to 64 bits, got {word_bits}; choose fewer bits or clients")
    num_bytes = next(size for size in (1, 2, 4, 8) if word_bits <= 8 * size)
    return np.dtype(f"u{num_bytes}")


def packed_size(num_words: int, word_bits: int) -> int:
    """Return the bytes that `num_words` words of `word_bits` bits take."""
    return (num_words * word_bits + 7) // 8


def to_words(integers: Integers, word_bits: int) -> Words:
    """Return integers modulo 2^word_bits."""
    low_bits = integers.view(np.uint64) & np.uint64((1 << word_bits) - 1)
    return low_bits.astype(word_dtype(word_bits))


def nearest_integers(words: Words, word_bits: int) -> Integers:
    """Return the integers nearest zero that words stand for; the dtype may be wider than a word."""
    unused = 64 - word_bits
    shifted = (words.astype(np.uint64) << np.uint64(unused)).view(np.int64)
    return shifted >> np.int64(unused)


def pack_words(words: Words, word_bits: int) -> bytes:
    """Write words modulo 2^word_bits as a bit stream.

    Args:
        words: Unsigned integers, shape (num_words,), of dtype `word_dtype(word_bits)`.
        word_bits: Bits per word on the wire, 1..64.

    Returns:
        `packed_size(num_words, word_bits)` bytes.
    """
    dtype = word_dtype(word_bits).newbyteorder("<")
    stored = words.astype(dtype, casting="equiv", copy=False)
    if word_bits == 8 * dtype.itemsize:
        return stored.tobytes()
    octets = np.ascontiguousarray(stored).view(np.uint8).reshape(-1, dtype.itemsize)
    bits = np.unpackbits(octets, axis=1, bitorder="little", count=word_bits)
    return np.packbits(bits, bitorder="little").tobytes()


def unpack_words(data: bytes, num_words: int, word_bits: int) -> Words:
    """Read words from a bit stream; uniform random bytes give uniform independent words.

    Args:
        data: `packed_size(num_words, word_bits)` bytes.
        num_words: Number of words.
        word_bits: Bits per word, 1..64.

    Returns:
        Words below 2^word_bits, shape (num_words,), of dtype `word_dtype(word_bits)`; may be a
        read-only view of `data`.

    Raises:
        ProtocolError: `data` has another length.
    """
    dtype = word_dtype(word_bits)
    if len(data) != packed_size(num_words, word_bits):
        raise ProtocolError(
            f"{num_words} words of {word_bits} bits are {packed_size(num_words, word_bits)} bytes, "
            f"got {len(data)}; sender and receiver must agree on the model and the word size"
        )
    if word_bits == 8 * dtype.itemsize:
        return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype, copy=False)
    words = _bit_fields(data, num_words, word_bits, 0, min(word_bits, 32))
    if word_bits > 32:
        high = _bit_fields(data, num_words, word_bits, 32, word_bits - 32)
        words |= high << np.uint64(32)
    return words.astype(dtype, copy=False)


def _bit_fields(data: bytes, num_words: int, word_bits: int, first: int, width: int) -> Words:
    """Return bits first .. first + width - 1 (width <= 32) of every word, as uint32 or uint64.

    Eight words fill a whole number of bytes, so every eighth word has the same place in a byte:
    one strided view reads them all.
    """
    num_groups = -(-num_words // 8)
    stream = np.zeros((num_groups + 1) * word_bits + 8, np.uint8)
    stream[: len(data)] = np.frombuffer(data, np.uint8)
    window = np.dtype("<u4") if word_bits <= 25 else np.dtype("<u8")
    fields = np.empty((num_groups, 8), window.newbyteorder("="))
    for place in range(8):
        byte, shift = divmod(place * word_bits + first, 8)
        windows = np.ndarray((num_groups,), window, stream, byte, (word_bits,))
        fields[:, place] = (windows >> window.type(shift)) & window.type(2**width - 1)
    return fields.reshape(-1)[:num_words]
