import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.data.scale import scale_features
from fedket.errors import DataError


@pytest.mark.parametrize(("dtype", "largest"), [(np.uint8, 255), (np.uint16, 65_535)])
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31 - 1))
def test_integers_become_fractions_of_the_largest(dtype, largest, seed):
    x = np.random.default_rng(seed).integers(0, largest + 1, (5, 3, 2)).astype(dtype)
    scaled = scale_features(x)
    assert scaled.dtype == np.float32
    assert scaled.min() >= 0
    assert scaled.max() <= 1
    np.testing.assert_array_equal(np.rint(scaled.astype(np.float64) * largest), x)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_keep_their_values(dtype):
    x = np.array([[-3.5, 0.25], [7.0, 1024.0]], dtype, order="F")
    scaled = scale_features(x)
    assert scaled.dtype == np.float32
    assert scaled.flags.c_contiguous
    np.testing.assert_array_equal(scaled, x)


def test_another_largest_value_and_booleans():
    np.testing.assert_array_equal(
        scale_features(np.array([[0, 8, 16]], np.uint8), 16.0), [[0, 0.5, 1]]
    )
    np.testing.assert_array_equal(scale_features(np.array([[False, True]])), [[0, 1]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_the_sample_with_an_unusable_feature_is_named(value):
    x = np.zeros((4, 2, 2))
    x[2, 1, 0] = value
    with pytest.raises(DataError, match=r"x\[2\] holds NaN, infinite or beyond float32"):
        scale_features(x)


@pytest.mark.parametrize("dtype", [np.int64, np.complex64, "U3", "S3", "M8[s]"])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(DataError, match="has dtype"):
        scale_features(np.zeros((2, 2), dtype))
