"""A validation split is a stratified share of the training samples, and a function of its seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.data.held_out import hold_out, joined_to_test, parted_from_test
from fedket.errors import DataError
from fedket.types import Dataset


def dataset_of(labels):
    labels = np.asarray(labels)
    x = np.arange(len(labels), dtype=np.float32)[:, None]
    return Dataset("made", x, labels, -x[:3], labels[:3], 3, groups=10 * np.arange(len(labels)))


@given(
    seed=st.integers(0, 2**31 - 1),
    counts=st.lists(st.integers(5, 40), min_size=2, max_size=4),
    fraction=st.floats(0.1, 0.9),
)
def test_each_class_gives_its_share_and_no_sample_is_lost_or_kept_twice(seed, counts, fraction):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    whole = dataset_of(labels)
    split = hold_out(whole, fraction, seed)
    held = split.x_val[:, 0].astype(int)
    both = np.concatenate([split.x_train[:, 0].astype(int), held])
    assert sorted(both) == list(range(len(labels)))
    assert len(held) == round(fraction * len(labels))
    np.testing.assert_array_equal(split.y_val, labels[held])
    np.testing.assert_array_equal(split.groups, 10 * split.x_train[:, 0])
    shares = np.bincount(split.y_val, minlength=len(counts)) - len(held) * np.array(counts) / sum(
        counts
    )
    assert np.abs(shares).max() <= 1
    again, other = hold_out(whole, fraction, seed), hold_out(whole, fraction, seed + 1)
    np.testing.assert_array_equal(again.x_val, split.x_val)
    assert not np.array_equal(other.x_val, split.x_val) or len(held) in (1, len(labels) - 1)


def test_a_transform_sees_the_validation_part_as_it_sees_the_test_part():
    split = hold_out(dataset_of([0, 1] * 10), 0.25)
    joined = joined_to_test(split)
    doubled = joined._replace(x_train=2 * joined.x_train, x_test=2 * joined.x_test)
    back = parted_from_test(doubled, len(split.y_test))
    np.testing.assert_array_equal(back.x_val, 2 * split.x_val)
    np.testing.assert_array_equal(back.x_test, 2 * split.x_test)
    np.testing.assert_array_equal(back.y_val, split.y_val)


def test_a_split_that_leaves_nothing_or_is_there_already_is_refused():
    with pytest.raises(DataError, match="of 4 training samples that is 0"):
        hold_out(dataset_of([0, 1, 0, 1]), 0.1)
    with pytest.raises(DataError, match="a validation part of its own"):
        hold_out(hold_out(dataset_of([0, 1] * 10), 0.5), 0.5)
