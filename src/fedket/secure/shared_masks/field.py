"""Arithmetic modulo a prime p, on numpy arrays of residues.

A residue is a uint64 below p. p has at most `MAX_BITS` bits: 2^41 holds the sum of 32-bit values
of some 500 clients, and every step below then fits 64 bits. Products of matrices run on float64
GEMMs, which are exact below 2^53: factors with many bits are cut into limbs first.
"""

import math
import os
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt64

from fedket.errors import ConfigError, ProtocolError
from fedket.secure.words import Words, pack_words, unpack_words, word_dtype

MAX_BITS = 41
"""Bits of the largest modulus."""

_WITNESSES = (2, 3, 5, 7, 11, 13, 17)
"""Enough for Miller and Rabin's test below 3.4e14 (Jaeschke, Math. Comp. 61, 915, 1993)."""

Residues = UInt64[np.ndarray, "..."]


class Field(NamedTuple):
    """The integers modulo a prime.

    Attributes:
        modulus: The prime p, odd.
        bits: Bits of a residue on the wire: w = ceil(log2 p).
    """

    modulus: int
    bits: int


def field_above(bound: int) -> Field:
    """Return the field of the smallest odd prime p > `bound`.

    Raises:
        ConfigError: p would have more than `MAX_BITS` bits.
    """
    candidate = max(bound + 1, 3) | 1
    while not is_prime(candidate):
        candidate += 2
    if candidate.bit_length() > MAX_BITS:
        raise ConfigError(
            f"sums up to {bound} need a prime of {candidate.bit_length()} bits, {MAX_BITS} are the "
            "most; use fewer bits per value or smaller groups of clients"
        )
    return Field(candidate, candidate.bit_length())


def is_prime(number: int) -> bool:
    """Return whether a number below 3.4e14 is prime (Miller–Rabin, no error)."""
    if number in _WITNESSES:
        return True
    if number < 2 or not all(number % witness for witness in _WITNESSES):
        return False
    odd = number - 1
    twos = (odd & -odd).bit_length() - 1
    odd >>= twos
    return not any(_proves_composite(witness, odd, twos, number) for witness in _WITNESSES)


def random_residues(field: Field, shape: tuple[int, ...]) -> Residues:
    """Draw residues from the operating system's generator, independent and exactly uniform.

    Words of `field.bits` random bits; those that are not below p are drawn again (one in two at
    most), so no residue is likelier than another.
    """
    dtype = word_dtype(field.bits)
    cut = dtype.type((1 << field.bits) - 1)
    pieces: list[Words] = []
    missing = math.prod(shape)
    while missing:
        words = np.frombuffer(os.urandom(missing * dtype.itemsize), dtype) & cut
        pieces.append(words[words < field.modulus])
        missing -= pieces[-1].size
    drawn = np.concatenate(pieces) if pieces else np.empty(0, dtype)
    return drawn.astype(np.uint64).reshape(shape)


def residues_of(field: Field, integers: Int[np.ndarray, "..."]) -> Residues:
    """Return signed integers modulo p."""
    residues: Residues = np.mod(integers, field.modulus).astype(np.uint64)
    return residues


def centre_lift(field: Field, residues: Residues) -> Int[np.ndarray, "..."]:
    """Return the integers nearest zero, -(p-1)/2 .. (p-1)/2, with these residues, as int64."""
    signed = residues.astype(np.int64)
    return signed - field.modulus * (signed > field.modulus // 2)


def add(field: Field, left: Residues, right: Residues) -> Residues:
    """Return left + right mod p, elementwise; broadcasts."""
    total: Residues = (left + right) % np.uint64(field.modulus)
    return total


def subtract(field: Field, left: Residues, right: Residues) -> Residues:
    """Return left - right mod p, elementwise; broadcasts."""
    modulus = np.uint64(field.modulus)
    return (left + (modulus - right)) % modulus


def matmul(field: Field, left: Residues, right: Residues) -> Residues:
    """Return the matrix product modulo p.

    Residues are cut into limbs of b bits with 2b + bits(inner) <= 53, so that every float64 GEMM
    of two limbs is exact; up to b bits (p < 2^23 with 64 inner terms) that is a single GEMM.

    Args:
        field: The field.
        left: Shape (rows, inner).
        right: Shape (inner, columns).

    Returns:
        Shape (rows, columns).
    """
    limb_bits = min((53 - left.shape[1].bit_length()) // 2, 63 - field.bits)
    modulus = np.uint64(field.modulus)
    lefts, rights = _limbs(field, left, limb_bits), _limbs(field, right, limb_bits)
    total = np.zeros((left.shape[0], right.shape[1]), np.uint64)
    for power in reversed(range(2 * len(lefts) - 1)):
        total <<= np.uint64(limb_bits)
        for k in range(max(0, power - len(lefts) + 1), min(power + 1, len(lefts))):
            total += (lefts[k] @ rights[power - k]).astype(np.uint64)
        total %= modulus
    return total


def pack_residues(field: Field, residues: Residues) -> bytes:
    """Write a vector of residues as a bit stream of `field.bits` bits each."""
    return pack_words(residues.astype(word_dtype(field.bits)), field.bits)


def unpack_residues(field: Field, data: bytes, num_residues: int) -> Residues:
    """Read a vector of residues from a bit stream.

    Raises:
        ProtocolError: `data` has another length, or holds a number that is not below p.
    """
    words = unpack_words(data, num_residues, field.bits)
    if (words >= field.modulus).any():
        raise ProtocolError(
            f"numbers below {field.modulus} should arrive, some are not; sender and receiver must "
            "agree on the modulus"
        )
    return words.astype(np.uint64)


def _limbs(field: Field, residues: Residues, limb_bits: int) -> list[np.ndarray]:
    """Return float64 arrays whose sum over k of 2^(k * limb_bits) * limb k is `residues`."""
    cut = np.uint64((1 << limb_bits) - 1)
    shifts = range(0, field.bits, limb_bits)
    return [((residues >> np.uint64(shift)) & cut).astype(np.float64) for shift in shifts]


def _proves_composite(witness: int, odd: int, twos: int, number: int) -> bool:
    """Return whether `witness` contradicts that number = 2^twos * odd + 1 is prime."""
    power = pow(witness, odd, number)
    if power in (1, number - 1):
        return False
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return False
    return True
