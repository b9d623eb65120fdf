"""Exact draws of integer noise: discrete Gaussian and Skellam, no floating point in between.

A draw is the value at which the distribution function passes a uniform real number u in [0, 1)
whose binary digits are read from the operating system as far as they are needed. Two tables hold
the distribution function to 64 digits, as certified floors; the first 16 digits decide most draws
by one look-up, 64 all but one in some 10^15, and those go on with 128 digits, 256, ... So the
distribution is exact, tails included, whatever the tables' size. `fedket.secure.privacy` explains
what the draws are for.

Discrete Gaussian (Canonne, Kamath and Steinke 2020, arXiv:2004.00010): P(k) ~ exp(−k²/2σ²), k in Z.
Skellam of variance μ: the difference of two Poisson draws of mean μ/2, P(k) ~ I_k(μ).
"""

import math
import os
from bisect import bisect_left
from collections.abc import Callable, Iterator
from decimal import Context as Decimals
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from typing import Literal, NamedTuple

import numpy as np

from fedket.errors import ConfigError
from fedket.secure.words import Integers

Entropy = Callable[[int], bytes]
"""Number of bytes -> as many, uniform and secret: `os.urandom` but in tests."""

MAX_DEVIATION = 2.0**14
"""Largest standard deviation that a table is made for."""

GUARD = 128
"""Binary digits that tables are computed with beyond those they hold."""

FIRST, DIGITS = 16, 64
"""Digits of the first look-up, and of the second."""


class Law(NamedTuple):
    """A distribution of integers around 0.

    Attributes:
        kind: Which.
        deviation: The parameter σ of the discrete Gaussian, its standard deviation to 1e-6 from
            σ = 1 on; of a Skellam, the standard deviation √μ.
    """

    kind: Literal["discrete_gaussian", "skellam"]
    deviation: float


def draw(law: Law, size: int, entropy: Entropy = os.urandom) -> Integers:
    """Draw independent integers.

    Args:
        law: Their distribution; deviation 0 gives zeros.
        size: How many.
        entropy: Where randomness comes from.

    Raises:
        ConfigError: The deviation is negative, not finite, or beyond `MAX_DEVIATION`.
    """
    if not 0 <= law.deviation <= MAX_DEVIATION:
        raise ConfigError(
            f"noise of standard deviation {law.deviation:g} steps cannot be drawn exactly, at most "
            f"{MAX_DEVIATION:g} can; use a coarser scale"
        )
    if law.deviation == 0:
        return np.zeros(size, np.int64)
    table = _table(law)
    start = np.frombuffer(entropy(2 * size), np.uint16)
    place = table.guide[start]
    for_search = np.flatnonzero(place < 0)
    more = np.frombuffer(entropy(8 * for_search.size), np.uint64) >> np.uint64(FIRST)
    digits = (start[for_search].astype(np.uint64) << np.uint64(DIGITS - FIRST)) | more
    found = np.searchsorted(table.ends, digits)
    drawn: Integers = place + np.int64(table.lowest)
    drawn[for_search] = found + table.lowest
    for i in np.flatnonzero(table.ends[np.minimum(found, table.ends.size - 1)] == digits):
        drawn[for_search[i]] = draw_from(law, int(digits[i]), DIGITS, entropy)
    return drawn


def draw_from(law: Law, digits: int, num_digits: int, entropy: Entropy) -> int:
    """Return the draw of a number that begins with some binary digits, reading more as needed."""
    while True:
        lowest, ends = _floors(law, num_digits)
        place = bisect_left(ends, digits)
        if place < len(ends) and ends[place] != digits:
            return lowest + place
        digits = (digits << num_digits) | int.from_bytes(entropy(num_digits // 8), "big")
        num_digits *= 2


class _Table(NamedTuple):
    """The distribution function of a law.

    Attributes:
        lowest: The integer that the first entry is about.
        ends: floor(2^64·P(X <= lowest + j)), shape (entries,), uint64.
        guide: First 16 digits -> place in `ends`, or -1 where they do not decide, shape (2^16,).
    """

    lowest: int
    ends: np.ndarray
    guide: np.ndarray


@lru_cache(maxsize=8)
def _table(law: Law) -> _Table:
    lowest, floors = _floors(law, DIGITS)
    ends = np.array(floors, np.uint64)
    cells = np.arange(2**FIRST, dtype=np.uint64) << np.uint64(DIGITS - FIRST)
    first = np.searchsorted(ends, cells)
    last = np.searchsorted(ends, cells | np.uint64(2 ** (DIGITS - FIRST) - 1), "right")
    return _Table(lowest, ends, np.where(first == last, first, -1).astype(np.int32))


@lru_cache(maxsize=8)
def _floors(law: Law, num_digits: int, guard: int = GUARD) -> tuple[int, list[int]]:
    """The lowest integer of a table, and floor(2^digits·P(X <= it + j)) for each entry j.

    Everything is integers of digits + guard binary places. Rounding and the tails left out change
    an entry by less than 2^-(digits + guard/2): a floor is certain unless an integer is that near.
    """
    weights = list(_WEIGHTS[law.kind](Fraction(law.deviation) ** 2, num_digits, guard))
    both = [*reversed(weights[1:]), *weights]
    total, top, slack = sum(both), (1 << num_digits) - 1, 1 << (guard // 2)
    floors = []
    for below in accumulate(both):
        value = (below << (num_digits + guard)) // total
        nearest, off = divmod(value + slack, 1 << guard)
        if off <= 2 * slack and 0 < nearest <= top:
            return _floors(law, num_digits, 2 * guard)
        floors.append(min(value >> guard, top))
    return 1 - len(weights), floors


def _gaussian_weights(variance: Fraction, num_digits: int, guard: int) -> Iterator[int]:
    """exp(−k²/2σ²) for k = 0, 1, ..., by products of exp(−1/2σ²), each a rounding below it."""
    places = num_digits + guard
    digits = Decimals(prec=places)
    exponent = digits.divide(Decimal(-variance.denominator), Decimal(2 * variance.numerator))
    weight = 1 << places
    ratio = int(digits.multiply(digits.exp(exponent), Decimal(weight)))
    square = ratio * ratio >> places
    for _ in range(1 + math.ceil(math.sqrt(2 * variance * _tail(num_digits, guard)))):
        yield weight
        weight = weight * ratio >> places
        ratio = ratio * square >> places


def _skellam_weights(variance: Fraction, num_digits: int, guard: int) -> Iterator[int]:
    """I_k(μ)/I_K(μ) for k = 0, 1, ..., K by I_(k−1) = I_(k+1) + 2k/μ·I_k downwards (Miller).

    Starting with 0 above K changes each probability by less than that of K + 1.
    """
    mu, above, weight = float(variance), 0, 1 << (num_digits + guard)
    tail = _tail(num_digits, guard)
    last = 1
    while mu - math.hypot(last, mu) + last * math.asinh(last / mu) < tail:  # Chernoff's bound
        last += max(1, math.ceil(math.sqrt(mu)) // 4)
    weights = [weight]
    for k in range(last, 0, -1):
        step = 2 * k * weight * variance.denominator // variance.numerator
        above, weight = weight, above + step
        weights.append(weight)
    return reversed(weights)


def _tail(num_digits: int, guard: int) -> float:
    """Minus the logarithm of the mass that a table may leave out."""
    return (num_digits + guard // 2 + 32) * math.log(2)


_WEIGHTS = {"discrete_gaussian": _gaussian_weights, "skellam": _skellam_weights}
