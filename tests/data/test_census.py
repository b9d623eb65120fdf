import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.data.census import check_partition, label_counts
from fedket.data.partition import iid
from fedket.errors import PartitionError


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "no clients"),
        ([[0, 1], [2, 4]], "run from 0 to 4; the data has 4 samples"),
        ([[0, 1], [-1, 2]], "run from -1"),
        ([[0, 1], [1, 2, 3]], "sample 1 is held by 2 clients"),
        ([[0, 1], [3]], "sample 2 is held by 0 clients"),
        ([[], []], "sample 0 is held by 0 clients"),
        ([[1, 0], [2, 3]], "must be sorted"),
        ([[[0, 1], [2, 3]]], "one-dimensional integer"),
    ],
)
def test_a_broken_partition_is_described(parts, message):
    with pytest.raises(PartitionError, match=message):
        check_partition([np.array(part, int) for part in parts], 4)


def test_float_indices_are_refused_and_empty_clients_are_fine():
    with pytest.raises(PartitionError, match="integer"):
        check_partition([np.arange(4.0)], 4)
    check_partition([np.array([], int), np.array([1, 3]), np.array([], int), np.array([0, 2])], 4)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31 - 1), num_clients=st.integers(1, 9))
def test_counts_equal_counting_each_client_alone(seed, num_clients):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, 30).astype(np.uint8)
    parts = iid(30, num_clients=num_clients, rng=rng)
    expected = [np.bincount(labels[part], minlength=5) for part in parts]
    np.testing.assert_array_equal(label_counts(parts, labels, 5), expected)
