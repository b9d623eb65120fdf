"""Privacy amplification: a random Toeplitz matrix over GF(2) times the corrected bits, by FFT.

key_i = sum_j seed[i - j + n - 1] * bits_j mod 2, i < l, j < n: the matrix is constant along its
diagonals and its n + l - 1 entries are public random bits. These matrices are a universal family
(Krawczyk 1994; Hayashi and Tsurumaki 2016), as the leftover hash lemma wants it.

The sums are integers up to n, computed in double precision and rounded: for n = 1e8 they are off by
less than 1e-6. The distance from whole numbers is checked all the same, and a doubtful sum is an
error, never a key. Long blocks are cut into pieces.
"""

from collections import deque

import numpy as np
from jaxtyping import Complex128, Float64, UInt8

from fedket.errors import KeyMaterialError

Bits = UInt8[np.ndarray, " _"]
Spectrum = Complex128[np.ndarray, " _"]

PIECE_BITS = 2**21
"""Longest piece of the bits and of the key that is transformed at once.

Up to this length memory is about 80 bytes per bit; beyond, 32 bytes per bit of the key."""

LARGEST_DOUBT = 0.01
"""A sum this far from an integer means that something is wrong."""


def seed_length(num_bits: int, key_bits: int) -> int:
    """Return how many public random bits the matrix needs."""
    return max(0, num_bits + key_bits - 1)


def amplify(bits: Bits, seed: Bits, key_bits: int, piece_bits: int = PIECE_BITS) -> Bits:
    """Return the key.

    Args:
        bits: The corrected bits, 0 or 1, shape (n,).
        seed: Public random bits, shape (n + l - 1,).
        key_bits: l, at most n.
        piece_bits: Longest piece of `bits` and of the key that is transformed at once.

    Returns:
        The key's bits, shape (l,).

    Raises:
        KeyMaterialError: The lengths do not fit, or rounding was in doubt.
    """
    if not 0 <= key_bits <= len(bits) or len(seed) != seed_length(len(bits), key_bits):
        raise KeyMaterialError(
            f"a key of {key_bits} bits from {len(bits)} bits needs a seed of "
            f"{seed_length(len(bits), key_bits)} bits, got {len(seed)}; keys are never longer than "
            "what they come from"
        )
    if key_bits == 0:
        return np.zeros(0, np.uint8)
    rows, columns = key_bits, len(bits)
    if columns > piece_bits:
        rows = columns = piece_bits
    return _multiply(bits, seed, rows, columns)[:key_bits]


def _multiply(bits: Bits, seed: Bits, rows: int, columns: int) -> Bits:
    """Return the product, its end filled up to a multiple of `rows`.

    The matrix is cut into tiles of `rows` by `columns`; unless it is one tile, these are equal.
    Tiles on one diagonal are the same Toeplitz matrix, so each piece of `bits` and each diagonal is
    transformed once. Products are added up in frequency space: one inverse transform per piece of
    the key.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    num_in, num_out = -(-len(bits) // columns), -(-(len(seed) - len(bits) + 1) // rows)
    seed = np.pad(seed, (num_in * columns - len(bits), num_out * rows))
    length = next_fast_len(rows + columns - 1, real=True)

    def diagonal(number: int) -> Spectrum:
        start = number * columns
        return np.asarray(rfft(seed[start : start + rows + columns - 1], length))

    totals: list[Spectrum] = [np.zeros(length // 2 + 1, complex)] * num_out
    # The tile of output piece i and input piece j lies on diagonal i - j + num_in - 1.
    diagonals = deque((diagonal(num_in + i) for i in range(num_out - 1)), maxlen=num_out)
    for j in range(num_in):
        diagonals.appendleft(diagonal(num_in - 1 - j))
        piece = rfft(bits[j * columns : (j + 1) * columns], length)
        totals = [total + piece * tile for total, tile in zip(totals, diagonals, strict=True)]
    sums = [irfft(total, length)[columns - 1 : columns - 1 + rows] for total in totals]
    return np.concatenate([_parity(s) for s in sums])


def _parity(sums: Float64[np.ndarray, " sums"]) -> Bits:
    """Round to whole numbers and take them modulo 2."""
    whole = np.rint(sums)
    doubt = float(np.max(np.abs(sums - whole)))
    if not doubt < LARGEST_DOUBT:
        raise KeyMaterialError(
            f"privacy amplification is off by {doubt:.2g} from whole numbers; use smaller pieces"
        )
    return np.asarray(whole.astype(np.int64) & 1, np.uint8)
