"""Coded secret sharing: blocks and noise, spread over n shares by a Vandermonde matrix.

U - T data blocks and T noise blocks, vectors of residues modulo p, are the coefficients (data
first) of a polynomial of degree below U; share j is its value at x = j + 1. This is the sharing of
Zhao & Sun (arXiv:2101.07750) and LightSecAgg (So et al., arXiv:2109.14236) with their MDS matrix
chosen as Vandermonde.

- Any U shares give the blocks back, and the sum of shares is a share of the sum.
- Up to T shares say nothing about the data, without any assumption: the noise columns of T rows
  are x^(U-T) times a square Vandermonde matrix of distinct points, so for every data there is
  exactly one noise that gives these shares. It is a ramp: each share beyond T tells one more
  linear combination of the data blocks.
- The shares are a Reed–Solomon word of dimension U. Of a = U + 2e answers e may be wrong in any
  way. With more wrong ones `open_shares` gives up, except that a - U - e + 1 or more which
  together imitate another word go unnoticed.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fedket.errors import ProtocolError
from fedket.secure.shared_masks.field import Field, Residues, matmul, random_residues

MISS_BITS = 70
"""A wrong answer among those that can be corrected is overlooked at most once in 2^64 openings."""

Polynomial = list[int]
"""Coefficients modulo p, constant first, the last one not zero; the zero polynomial is empty."""


class Sharing(NamedTuple):
    """Who shares how; needs 0 <= T < U <= n < p.

    Attributes:
        field: The field of the residues.
        num_shares: Shares per secret (n).
        threshold: Shares that give the secret back (U).
        colluders: Shares that say nothing (T).
    """

    field: Field
    num_shares: int
    threshold: int
    colluders: int


class Opened(NamedTuple):
    """A secret, put together again.

    Attributes:
        blocks: Data blocks, shape (U - T, length).
        wrong: Holders of shares that were wrong and have been corrected, ascending.
    """

    blocks: Residues
    wrong: tuple[int, ...]


def share_blocks(sharing: Sharing, blocks: Residues, noise: Residues) -> Residues:
    """Return the shares of a secret.

    Args:
        sharing: Who shares how.
        blocks: The secret, shape (U - T, length).
        noise: From `random_residues`, used once, shape (T, length).

    Returns:
        Share j in row j, shape (n, length).
    """
    coefficients = np.concatenate([blocks, noise])
    return matmul(sharing.field, _vandermonde(sharing, range(sharing.num_shares)), coefficients)


def open_shares(sharing: Sharing, shares: Mapping[int, Residues]) -> Opened:
    """Return the secret from U or more shares, of which some may be wrong.

    Wrong shares are found in a random linear combination of all columns, which hides a wrong one
    with probability 1/p only; what counts is the check of all columns afterwards. Without wrong
    shares no search takes place.

    Args:
        sharing: Who shares how.
        shares: Holder (0..n-1) -> share, shape (length,).

    Raises:
        ProtocolError: Fewer than U shares, or more wrong ones than can be corrected.
    """
    holders = sorted(shares)
    if len(holders) < sharing.threshold:
        raise ProtocolError(
            f"{sharing.threshold} shares open the secret, {len(holders)} arrived; the round is "
            "over: start a new one"
        )
    answers = np.stack([shares[holder] for holder in holders])
    max_wrong = (len(holders) - sharing.threshold) // 2
    suspects: set[int] = set()
    for _ in range(2 + MISS_BITS // (sharing.field.bits - 1)):
        trusted = [k for k in range(len(holders)) if k not in suspects][: sharing.threshold]
        coefficients = _interpolate(sharing, [holders[k] for k in trusted], answers[trusted])
        word = matmul(sharing.field, _vandermonde(sharing, holders), coefficients)
        wrong = tuple(holders[k] for k in np.flatnonzero((word != answers).any(axis=1)))
        if len(wrong) <= max_wrong:
            num_blocks = sharing.threshold - sharing.colluders
            return Opened(coefficients[:num_blocks], wrong)
        suspects |= _suspects(sharing, holders, answers)
        if len(suspects) > max_wrong:
            break
    raise ProtocolError(
        f"more than {max_wrong} of {len(holders)} opened shares are wrong, which is more than can "
        "be corrected; the round is over: start a new one, without clients that fail again"
    )


def _vandermonde(sharing: Sharing, holders: Sequence[int]) -> Residues:
    """Return x^k mod p for the point x of each holder and k < U, shape (holders, U), read-only."""
    return _powers(sharing.field.modulus, sharing.threshold, tuple(holders))


@lru_cache(maxsize=8)  # all clients of a round share by the same matrix
def _powers(p: int, count: int, holders: tuple[int, ...]) -> Residues:
    rows = [[pow(holder + 1, k, p) for k in range(count)] for holder in holders]
    matrix = np.array(rows, np.uint64)
    matrix.setflags(write=False)
    return matrix


def _interpolate(sharing: Sharing, holders: Sequence[int], values: Residues) -> Residues:
    """Return the coefficients of the polynomial through U points, for every column of `values`."""
    basis = _lagrange_basis(sharing.field.modulus, [holder + 1 for holder in holders])
    return matmul(sharing.field, np.array(basis, np.uint64).T, values)


def _suspects(sharing: Sharing, holders: Sequence[int], answers: Residues) -> set[int]:
    """Return rows that are wrong, found in one random combination of the columns.

    When no polynomial is near enough, so that there are more wrong rows than can be corrected,
    all rows are suspects.
    """
    mixing = random_residues(sharing.field, (answers.shape[1], 1))
    values = [int(value) for value in matmul(sharing.field, answers, mixing)[:, 0]]
    points = [holder + 1 for holder in holders]
    found = _nearest_polynomial(sharing.field.modulus, points, values, sharing.threshold)
    if found is None:
        return set(range(len(holders)))
    p = sharing.field.modulus
    return {k for k, x in enumerate(points) if _evaluate(p, found, x) != values[k]}


def _nearest_polynomial(
    p: int, points: Sequence[int], values: Sequence[int], num_coefficients: int
) -> Polynomial | None:
    """Return the polynomial that misses at most half the surplus of values, or None.

    Gao's decoder: the extended Euclidean algorithm on prod (x - x_i) and the interpolation of all
    values, stopped halfway (S. Gao, "A new algorithm for decoding Reed–Solomon codes", 2003).
    """
    basis = _lagrange_basis(p, points)
    columns = zip(*basis, strict=True)
    interpolation = [sum(v * c for v, c in zip(values, column, strict=True)) for column in columns]
    high, low = _product_of_roots(p, points), _trimmed(p, interpolation)
    factor_before, factor = [], [1]
    while 2 * (len(low) - 1) >= len(points) + num_coefficients:
        quotient, rest = _divide(p, high, low)
        high, low = low, rest
        step = _multiply(p, quotient, factor)
        factor_before, factor = factor, _minus(p, factor_before, step)
    found, rest = _divide(p, low, factor)
    return found if not rest and len(found) <= num_coefficients else None


def _lagrange_basis(p: int, points: Sequence[int]) -> list[list[int]]:
    """Return the coefficients of the polynomials that are 1 at one point and 0 at the others."""
    roots = _product_of_roots(p, points)
    basis = []
    for x in points:
        numerator, _ = _divide(p, roots, [-x % p, 1])
        scale = pow(_evaluate(p, numerator, x), -1, p)
        basis.append([scale * c % p for c in numerator])
    return basis


def _product_of_roots(p: int, points: Sequence[int]) -> Polynomial:
    product = [1]
    for x in points:
        product = _multiply(p, product, [-x % p, 1])
    return product


def _evaluate(p: int, polynomial: Polynomial, x: int) -> int:
    value = 0
    for coefficient in reversed(polynomial):
        value = (value * x + coefficient) % p
    return value


def _multiply(p: int, left: Polynomial, right: Polynomial) -> Polynomial:
    product = [0] * max(len(left) + len(right) - 1, 0)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            product[i + j] += a * b
    return _trimmed(p, product)


def _minus(p: int, left: Polynomial, right: Polynomial) -> Polynomial:
    size = max(len(left), len(right))
    padded = (side + [0] * (size - len(side)) for side in (left, right))
    return _trimmed(p, [a - b for a, b in zip(*padded, strict=True)])


def _divide(p: int, dividend: Polynomial, divisor: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Return quotient and remainder."""
    rest, inverse = list(dividend), pow(divisor[-1], -1, p)
    quotient = [0] * max(len(rest) - len(divisor) + 1, 0)
    for shift in reversed(range(len(quotient))):
        factor = rest[shift + len(divisor) - 1] * inverse % p
        quotient[shift] = factor
        for k, c in enumerate(divisor):
            rest[shift + k] = (rest[shift + k] - factor * c) % p
    return _trimmed(p, quotient), _trimmed(p, rest)


def _trimmed(p: int, coefficients: Sequence[int]) -> Polynomial:
    """Return the coefficients modulo p, without zeros at the end."""
    reduced = [c % p for c in coefficients]
    while reduced and not reduced[-1]:
        reduced.pop()
    return reduced
