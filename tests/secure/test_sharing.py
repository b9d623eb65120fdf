"""Coded sharing: what opens it, what it hides, and how many wrong shares it survives."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modular import num_revealed, rank

from fedket.errors import ProtocolError
from fedket.secure.shared_masks import sharing as sharing_module
from fedket.secure.shared_masks.field import add, field_above
from fedket.secure.shared_masks.sharing import Sharing, open_shares, share_blocks

SHAPES = [(2, 2, 0), (4, 3, 1), (5, 5, 3), (7, 4, 2), (9, 3, 1), (16, 12, 5), (32, 20, 8)]
BITS = [2, 8, 16, 32]
seeds = given(seed=st.integers(0, 2**31 - 1))


def a_sharing(num_shares, threshold, colluders, bits=16):
    return Sharing(field_above(num_shares * (2**bits - 1)), num_shares, threshold, colluders)


def draw(sharing, seed, length=6):
    rng, p = np.random.default_rng(seed), sharing.field.modulus
    num_blocks = sharing.threshold - sharing.colluders
    blocks = rng.integers(0, p, (num_blocks, length), np.uint64)
    return blocks, rng.integers(0, p, (sharing.colluders, length), np.uint64), rng


def some(shares, holders):
    return {int(j): shares[j].copy() for j in holders}


def spoil(rng, sharing, answers, holders):
    """Change some entries of some answers, at least one in each."""
    for j in holders:
        places = rng.random(answers[j].size) < rng.choice([0.01, 0.5, 1])
        places[rng.integers(answers[j].size)] = True
        errors = rng.integers(1, sharing.field.modulus, answers[j].size, np.uint64)
        answers[j] = add(sharing.field, answers[j], errors * places)


def vandermonde(sharing, holders):
    p = sharing.field.modulus
    return [[pow(j + 1, k, p) for k in range(sharing.threshold)] for j in holders]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=3)
@seeds
def test_any_threshold_of_shares_opens_the_secret(shape, bits, seed):
    sharing = a_sharing(*shape, bits)
    blocks, noise, rng = draw(sharing, seed)
    shares = share_blocks(sharing, blocks, noise)
    holders = rng.choice(sharing.num_shares, sharing.threshold, replace=False)
    opened = open_shares(sharing, some(shares, holders))
    np.testing.assert_array_equal(opened.blocks, blocks)
    assert opened.wrong == ()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_share_is_the_value_of_a_polynomial_at_a_point_of_its_own(shape):
    sharing = a_sharing(*shape, 32)
    blocks, noise, _ = draw(sharing, 5, length=2)
    coefficients = [[int(c) for c in column] for column in np.concatenate([blocks, noise]).T]
    shares = share_blocks(sharing, blocks, noise)
    for j, share in enumerate(shares):
        values = [sum(c * (j + 1) ** k for k, c in enumerate(column)) for column in coefficients]
        assert share.tolist() == [value % sharing.field.modulus for value in values]


@seeds
def test_the_sum_of_shares_is_a_share_of_the_sum(seed):
    sharing = a_sharing(7, 4, 2)
    one, two = draw(sharing, seed), draw(sharing, seed + 1)
    shares = add(sharing.field, share_blocks(sharing, *one[:2]), share_blocks(sharing, *two[:2]))
    opened = open_shares(sharing, some(shares, (1, 2, 4, 6)))
    np.testing.assert_array_equal(opened.blocks, add(sharing.field, one[0], two[0]))


@pytest.mark.parametrize("shape", [(4, 3, 1), (5, 4, 2), (7, 5, 3), (9, 4, 0)])
def test_colluders_learn_nothing_and_one_more_learns_one_combination(shape):
    """Rank argument over all groups: what t shares say about the U - T data blocks alone."""
    sharing = a_sharing(*shape, bits=8)
    num_blocks, p = sharing.threshold - sharing.colluders, sharing.field.modulus
    for size in range(1, sharing.threshold + 1):
        for group in itertools.combinations(range(sharing.num_shares), size):
            revealed = num_revealed(vandermonde(sharing, group), num_blocks, p)
            assert revealed == max(0, size - sharing.colluders)


def test_what_colluders_hold_is_distributed_alike_for_all_secrets():
    """Every noise of a small field, counted: p = 5, n = 4, U = 3, T = 1 and U = 4, T = 2."""
    for threshold, colluders in ((3, 1), (4, 2)):
        sharing = Sharing(field_above(4), 4, threshold, colluders)
        for group in itertools.combinations(range(4), colluders):
            views = set()
            for secret in itertools.product(range(5), repeat=2):
                noises = itertools.product(range(5), repeat=colluders)
                columns = np.array([(*secret, *noise) for noise in noises], np.uint64).T
                shares = share_blocks(sharing, columns[:2], columns[2:])[list(group)]
                views.add(frozenset(Counter(map(tuple, shares.T.tolist())).items()))
            assert len(views) == 1
            assert {count for _, count in views.pop()} == {1}  # uniform


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("shape", [(4, 2, 0), (9, 3, 1), (16, 12, 5), (16, 9, 2), (32, 20, 8)])
@settings(max_examples=4)
@seeds
def test_up_to_half_the_surplus_of_wrong_shares_is_corrected(shape, bits, seed):
    sharing = a_sharing(*shape, bits)
    blocks, noise, rng = draw(sharing, seed)
    num_answers = int(rng.integers(sharing.threshold, sharing.num_shares, endpoint=True))
    holders = rng.choice(sharing.num_shares, num_answers, replace=False)
    answers = some(share_blocks(sharing, blocks, noise), holders)
    most = (num_answers - sharing.threshold) // 2
    wrong = rng.choice(holders, int(rng.integers(0, most, endpoint=True)), replace=False)
    spoil(rng, sharing, answers, wrong)
    opened = open_shares(sharing, answers)
    np.testing.assert_array_equal(opened.blocks, blocks)
    assert opened.wrong == tuple(sorted(wrong))


@pytest.mark.parametrize("shape", [(9, 3, 1), (16, 9, 2), (16, 11, 5)])
@settings(max_examples=4)
@seeds
def test_with_more_wrong_shares_nothing_is_opened(shape, seed):
    """Independent errors in 6 columns imitate another word once in p^6 > 2^90."""
    sharing = a_sharing(*shape)
    blocks, noise, rng = draw(sharing, seed)
    most = (sharing.num_shares - sharing.threshold) // 2
    for num_wrong in (most + 1, sharing.num_shares):
        answers = some(share_blocks(sharing, blocks, noise), range(sharing.num_shares))
        wrong = rng.choice(sharing.num_shares, num_wrong, replace=False)
        for j in wrong:
            answers[j] = rng.integers(0, sharing.field.modulus, answers[j].size, np.uint64)
        with pytest.raises(ProtocolError, match=f"more than {most} of {sharing.num_shares}"):
            open_shares(sharing, answers)


def test_wrong_shares_that_imitate_another_word_together_go_unnoticed():
    """The limit of any error correction, as the docstring says: a - U - e + 1 = 4 of them here."""
    sharing = a_sharing(9, 3, 1)
    blocks, noise, _ = draw(sharing, 1)
    p = sharing.field.modulus
    step = np.array([[2], [p - 3], [1]], np.uint64)  # (x - 1)(x - 2): 0 at the first two points
    false = add(sharing.field, np.concatenate([blocks, noise]), step)
    right, imitated = (
        share_blocks(sharing, blocks, noise),
        share_blocks(sharing, false[:2], false[2:]),
    )
    opened = open_shares(sharing, {j: imitated[j] if j >= 5 else right[j] for j in range(9)})
    assert opened.wrong == (2, 3, 4)
    np.testing.assert_array_equal(opened.blocks, false[:2])
    three = {j: imitated[j] if j >= 6 else right[j] for j in range(9)}
    np.testing.assert_array_equal(open_shares(sharing, three).blocks, blocks)


def test_errors_that_hide_from_one_combination_of_columns_are_found_by_the_next(monkeypatch):
    """A search that misses a wrong row is caught by the check of all columns, and repeated."""
    sharing = a_sharing(9, 5, 2)
    blocks, noise, _ = draw(sharing, 3)
    answers = some(share_blocks(sharing, blocks, noise), range(9))
    for holder, column in ((1, 0), (4, 1)):
        answers[holder][column] ^= np.uint64(1)
    mixings = iter([np.zeros((6, 1)), np.eye(6, 1), np.eye(6, 1, -1)])  # none, column 0, column 1
    monkeypatch.setattr(
        sharing_module, "random_residues", lambda *_: next(mixings).astype(np.uint64)
    )
    opened = open_shares(sharing, answers)
    np.testing.assert_array_equal(opened.blocks, blocks)
    assert opened.wrong == (1, 4)
    assert next(mixings, None) is None


def test_too_few_shares_open_nothing():
    sharing = a_sharing(5, 4, 1)
    blocks, noise, _ = draw(sharing, 0)
    shares = share_blocks(sharing, blocks, noise)
    with pytest.raises(ProtocolError, match="4 shares open the secret, 3 arrived"):
        open_shares(sharing, some(shares, (0, 2, 3)))


def test_every_threshold_of_rows_is_independent():
    sharing = a_sharing(8, 4, 1, bits=4)
    for group in itertools.combinations(range(8), 4):
        assert rank(vandermonde(sharing, group), sharing.field.modulus) == 4
