"""Zeros around images."""

import numpy as np
import pytest

from fedket.data.transform import pad_images
from fedket.errors import DataError


@pytest.mark.parametrize("shape", [(3, 28, 28), (2, 5, 4), (2, 6, 6, 3)])
@pytest.mark.parametrize("side", [28, 32, 33])
def test_the_image_is_in_the_middle_and_all_else_is_zero(shape, side):
    x = np.random.default_rng(0).random(shape, np.float32) + 1
    padded = pad_images(x, side)
    assert padded.shape == (shape[0], side, side, *shape[3:])
    top, left = (side - shape[1]) // 2, (side - shape[2]) // 2
    np.testing.assert_array_equal(padded[:, top : top + shape[1], left : left + shape[2]], x)
    assert np.count_nonzero(padded) == x.size


@pytest.mark.parametrize("shape", [(3, 16), (3, 9, 4)])
def test_what_does_not_fit_is_refused(shape):
    with pytest.raises(DataError, match=r"`pad` to side 8 puts zeros around images of at most 8×8"):
        pad_images(np.ones(shape, np.float32), 8)
