"""Classes that count as one."""

import numpy as np
import pytest
from data_files import small_set, write_npz

from fedket.data.sources import load_dataset
from fedket.errors import DataError


@pytest.fixture
def load(tmp_path):
    """Load a set of classes 0, 1, 2 with some options."""
    path = write_npz(tmp_path / "small.npz", small_set())
    return lambda **options: load_dataset("npz", path=str(path), **options)


def test_merged_samples_keep_their_place_and_take_the_other_label(load):
    apart, merged = load(), load(merge=((2, 1),))
    assert merged.num_classes == 2
    np.testing.assert_array_equal(merged.x_train, apart.x_train)
    for one, two in ((merged.y_train, apart.y_train), (merged.y_test, apart.y_test)):
        np.testing.assert_array_equal(one, np.minimum(two, 1))


def test_classes_are_chosen_after_merging(load):
    chosen = load(merge=((0, 2),), classes=(2, 1))
    np.testing.assert_array_equal(chosen.y_train, load().y_train == 1)


@pytest.mark.parametrize("pair", [(3, 0), (0, 7)])
def test_an_unknown_class_is_refused(pair, load):
    with pytest.raises(DataError, match=rf"no class {max(pair)}; the classes present are 0, 1, 2"):
        load(merge=(pair,))
