"""Arithmetic modulo a prime, against Python's integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from fedket.errors import ConfigError, ProtocolError
from fedket.secure.shared_masks import field as field_module
from fedket.secure.shared_masks.field import (
    Field,
    add,
    centre_lift,
    field_above,
    is_prime,
    matmul,
    pack_residues,
    random_residues,
    residues_of,
    subtract,
    unpack_residues,
)
from fedket.secure.words import packed_size

FIELDS = [field_above(bound) for bound in (1, 4, 1020, 16 * 65_535, 2**31 - 20, 200 * (2**32 - 1))]
fields = pytest.mark.parametrize("field", FIELDS, ids=lambda field: f"{field.bits} bits")
seeds = given(seed=st.integers(0, 2**31 - 1))


def draw(field, seed, shape):
    return np.random.default_rng(seed).integers(0, field.modulus, shape, np.uint64)


def exact(array):
    return array.astype(object)


def test_primes_are_those_of_trial_division():
    def by_division(number):
        return number > 1 and all(number % k for k in range(2, int(number**0.5) + 1))

    assert [k for k in range(3000) if is_prime(k)] == [k for k in range(3000) if by_division(k)]


@pytest.mark.parametrize(
    ("number", "prime"),
    [
        (3_215_031_751, False),  # fools the witnesses 2, 3, 5, 7 (OEIS A014233)
        (3_474_749_660_383, False),  # fools 2 .. 13 (OEIS A014233)
        (2**31 - 1, True),
        (2**41 - 21, True),  # the largest primes below 2^41 and 2^20 (OEIS A013603)
        (2**20 - 3, True),
        (561, False),
    ],
)
def test_known_primes_and_liars(number, prime):
    assert is_prime(number) is prime


@seeds
def test_the_field_is_the_smallest_above_a_bound(seed):
    bound = int(np.random.default_rng(seed).integers(0, 2**40))
    field = field_above(bound)
    assert field.modulus > bound
    assert not any(is_prime(k) for k in range(max(bound + 1, 3), field.modulus))
    assert 2 ** (field.bits - 1) < field.modulus < 2**field.bits


def test_a_field_too_large_is_a_config_error():
    assert field_above(500 * (2**32 - 1)).bits == 41
    with pytest.raises(ConfigError, match="42 bits, 41 are the most"):
        field_above(513 * (2**32 - 1))


@fields
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 5), (16, 12, 7), (1, 300, 1), (2, 5, 0)])
@settings(max_examples=3)
@seeds
def test_products_of_matrices_are_exact(field, shape, seed):
    rows, inner, columns = shape
    left, right = draw(field, seed, (rows, inner)), draw(field, seed + 1, (inner, columns))
    product = matmul(field, left, right)
    assert product.dtype == np.uint64
    np.testing.assert_array_equal(product, exact(left) @ exact(right) % field.modulus)


@fields
@pytest.mark.parametrize("inner", [1, 64, 4096, 100_000])
def test_products_are_exact_when_everything_is_as_large_as_it_gets(field, inner):
    top = np.full((1, inner), field.modulus - 1, np.uint64)
    assert matmul(field, top, top.T)[0, 0] == inner % field.modulus  # (-1)^2 * inner


@fields
@seeds
def test_sums_and_differences_are_those_of_integers(field, seed):
    left, right = draw(field, seed, (3, 7)), draw(field, seed + 1, (7,))
    np.testing.assert_array_equal(
        add(field, left, right), (exact(left) + exact(right)) % field.modulus
    )
    np.testing.assert_array_equal(
        subtract(field, left, right), (exact(left) - exact(right)) % field.modulus
    )


@fields
def test_the_centre_lift_undoes_taking_residues(field):
    half = field.modulus // 2
    integers = np.array([0, 1, -1, half, -half, half - 1, 1 - half])
    lifted = centre_lift(field, residues_of(field, integers))
    assert lifted.dtype == np.int64
    np.testing.assert_array_equal(lifted, integers)


@fields
@settings(max_examples=5)
@given(seed=st.integers(0, 2**31 - 1), size=st.integers(0, 40))
def test_residues_survive_the_wire(field, seed, size):
    residues = draw(field, seed, size)
    data = pack_residues(field, residues)
    assert len(data) == packed_size(size, field.bits)
    np.testing.assert_array_equal(unpack_residues(field, data, size), residues)


def test_numbers_that_are_no_residues_are_refused():
    field = Field(29, 5)
    with pytest.raises(ProtocolError, match="below 29"):
        unpack_residues(field, pack_residues(field, np.array([3, 29], np.uint64)), 2)
    with pytest.raises(ProtocolError, match="2 words of 5 bits are 2 bytes, got 3"):
        unpack_residues(field, bytes(3), 2)


@pytest.mark.parametrize("modulus", [3, 5, 17, 1021, 65_537])
def test_random_residues_are_uniform(modulus):
    """Chi-square; true randomness, so the bound fails once in 10^12 runs.

    17 and 65,537 are the worst cases: nearly half of the words are drawn again.
    """
    field = field_above(modulus - 1)
    assert field.modulus == modulus
    drawn = random_residues(field, (2, 200_000)).reshape(-1)
    cells = min(modulus, 1000)
    counts = np.bincount(drawn.astype(np.int64) * cells // modulus, minlength=cells)
    sizes = np.bincount(np.arange(modulus) * cells // modulus, minlength=cells)
    expected = drawn.size * sizes / modulus
    assert drawn.max() < modulus
    assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-12, cells - 1)


def test_random_residues_use_the_systems_words_and_drop_those_beyond_the_modulus(monkeypatch):
    """Exact uniformity: every word below p is kept as it is, every other one drawn again."""
    stream = iter(bytes([7, 5, 4, 0b11111_010, 6, 3, 1, 0]))
    monkeypatch.setattr(
        field_module.os, "urandom", lambda size: bytes(next(stream) for _ in range(size))
    )
    assert random_residues(Field(5, 3), (2, 2)).tolist() == [[4, 2], [3, 1]]


def test_nothing_is_drawn_for_nothing():
    assert random_residues(FIELDS[0], (0, 5)).shape == (0, 5)
