"""Features made fewer: areas, principal components, ranges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.data.transform import (
    area_weights,
    centre,
    map_features,
    principal_components,
    project_on_components,
    shrink_images,
    standardise,
    standardise_by,
)
from fedket.errors import DataError
from fedket.types import Dataset

SEEDS = st.integers(0, 2**31 - 1)


def images(seed, count=6, side=8):
    return np.random.default_rng(seed).uniform(size=(count, side, side)).astype(np.float32)


def dataset(x, x_test):
    return Dataset(
        "images", x, np.zeros(len(x), np.int32), x_test, np.zeros(len(x_test), np.int32), 2
    )


@given(seed=SEEDS)
def test_shrinking_by_a_whole_factor_takes_block_means(seed):
    x = images(seed)
    expected = x.reshape(6, 4, 2, 4, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(shrink_images(x, 4), expected, atol=1e-6)
    colour = np.stack([x, 2 * x], axis=-1)
    np.testing.assert_allclose(shrink_images(colour, 4)[..., 1], 2 * expected, atol=1e-6)


@given(old=st.integers(1, 40), data=st.data())
def test_every_pixel_is_shared_out_whole(old, data):
    new = data.draw(st.integers(1, old))
    weights = area_weights(old, new)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=0), new / old, atol=1e-5)


@given(seed=SEEDS)
def test_components_are_those_of_the_singular_value_decomposition(seed):
    flat = images(seed, count=20, side=3).reshape(20, 9)
    mean, components = principal_components(flat, 4)
    _, _, vectors = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(mean, flat.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(np.abs(components @ vectors[:4].T), np.eye(4), atol=1e-3)


def test_components_are_fitted_on_training_samples_only():
    x = images(0, count=30)
    one = project_on_components(dataset(x, images(1)), 5)
    two = project_on_components(dataset(x, 9 * images(2)), 5)
    assert one.x_train.shape == (30, 5)
    assert one.x_test.shape == (6, 5)
    np.testing.assert_array_equal(one.x_train, two.x_train)
    np.testing.assert_allclose(one.x_train.mean(axis=0), 0, atol=1e-6)


def test_standardised_features_have_mean_0_and_deviation_1_on_training_samples_only():
    x = np.random.default_rng(0).normal(5, [1, 1000, 0.01, 0], (50, 4)).astype(np.float32)
    made = standardise(dataset(x, x[:5] + 1))
    np.testing.assert_allclose(made.x_train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(made.x_train.std(axis=0), [1, 1, 1, 0], rtol=1e-5)
    moved = (made.x_test - made.x_train[:5]) * x.std(axis=0, dtype=np.float64)
    np.testing.assert_allclose(moved[:, :3], 1, rtol=1e-3)


def test_agreed_numbers_standardise_as_fitted_ones_do():
    x = np.random.default_rng(0).normal(5, [1, 1000, 0.01], (50, 3)).astype(np.float32)
    data, train = dataset(x, x[:5] + 1), x.astype(np.float64)
    agreed = standardise_by(data, tuple(train.mean(axis=0)), tuple(train.std(axis=0)))
    fitted = standardise(data)
    np.testing.assert_array_equal(agreed.x_train, fitted.x_train)
    np.testing.assert_array_equal(agreed.x_test, fitted.x_test)
    pixels = images(1)
    moved = standardise_by(dataset(pixels, pixels), (0.5,), (0.25,))
    np.testing.assert_allclose(moved.x_train, (pixels - 0.5) / 0.25, rtol=1e-6)
    with pytest.raises(DataError, match="2 means, samples have shape"):
        standardise_by(data, (0.0, 0.0), (1.0, 1.0))


def test_signed_pixels_go_from_minus_one_to_one():
    x = np.array([0, 0.5, 1], np.float32).reshape(3, 1, 1)
    made = map_features(dataset(x, x), centre)
    np.testing.assert_array_equal(made.x_test.ravel(), [-1, 0, 1])


def test_more_than_there_is_cannot_be_asked_for():
    data = dataset(images(0), images(1))
    with pytest.raises(DataError, match=r"shrinks images of at least 9×9, got .* \(8, 8\)"):
        shrink_images(data.x_train, 9)
    with pytest.raises(DataError, match=r"of 7 components needs .* got 6 of 64"):
        project_on_components(data, 7)


def test_components_of_large_images_are_those_of_the_singular_value_decomposition():
    """224x224x3, whose whole covariance would take 169 GiB."""
    rng = np.random.default_rng(0)
    directions = rng.choice([-1, 1], (4, 224 * 224 * 3))
    x = rng.normal(size=(20, 4)) * (4, 2, 1, 0.5) @ directions
    x = (x + 1e-3 * rng.normal(size=x.shape)).astype(np.float32).reshape(20, 224, 224, 3)
    mean, components = principal_components(x, 4)
    flat = x.reshape(20, -1) - x.reshape(20, -1).mean(axis=0)
    variances, samples = np.linalg.eigh(flat @ flat.T)
    vectors = (samples.T @ flat / np.sqrt(variances.clip(1e-9))[:, None])[::-1]
    np.testing.assert_allclose(mean, x.reshape(20, -1).mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(np.abs(components @ vectors[:4].T), np.eye(4), atol=1e-3)
    np.testing.assert_array_equal(principal_components(x, 4)[1], components)
