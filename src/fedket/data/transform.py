"""Fewer features per image: shrink by area, project on principal components, centre the range.

Everything that is fitted is fitted on training samples only.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float32

from fedket.errors import DataError
from fedket.types import Dataset

Features = Float32[np.ndarray, "samples ..."]

MAX_EXACT = 4096
"""Features whose whole covariance is worked out: 128 MiB."""

FEW_SAMPLES = 64
"""So many need no random projections, which take twice as long as all components of 20 images."""


def map_features(dataset: Dataset, change: Callable[[Features], Features]) -> Dataset:
    """Change the features of both parts of a data set."""
    return dataset._replace(x_train=change(dataset.x_train), x_test=change(dataset.x_test))


def centre(x: Features) -> Features:
    """(x − 0.5) / 0.5, so that images lie in [−1, 1]."""
    return (x - np.float32(0.5)) / np.float32(0.5)


def standardise(dataset: Dataset) -> Dataset:
    """Mean 0 and standard deviation 1 of every feature of the training samples; constants are 0."""
    train = dataset.x_train.astype(np.float64)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    scale = np.where(deviation > 1e-9 * np.abs(mean), deviation, 1)
    return map_features(dataset, lambda x: ((x - mean) / scale).astype(np.float32))


def standardise_by(
    dataset: Dataset, mean: tuple[float, ...], deviation: tuple[float, ...]
) -> Dataset:
    """Shift and scale every feature by agreed numbers.

    Args:
        dataset: Samples.
        mean: Of each feature, or one for all.
        deviation: As many, positive.

    Raises:
        DataError: Samples have another number of features.
    """
    features = dataset.x_train.shape[1:]
    if len(mean) > 1 and features != (len(mean),):
        raise DataError(
            f"`standardise` names {len(mean)} means, samples have shape {features}; name one for "
            "each feature, or one for all"
        )
    shift, scale = np.array(mean), np.array(deviation)
    return map_features(dataset, lambda x: ((x - shift) / scale).astype(np.float32))


def shrink_images(x: Features, side: int) -> Features:
    """Shrink images to `side` × `side`: every new pixel is the mean of the area it covers.

    Args:
        x: Images, shape (samples, height, width) or (samples, height, width, channels).
        side: New height and width in pixels, at most the old ones.

    Raises:
        DataError: If samples are no images or smaller than `side`.
    """
    if x.ndim not in (3, 4) or min(x.shape[1:3]) < side:
        raise DataError(
            f"`resize` to side {side} shrinks images of at least {side}×{side}, got samples of "
            f"shape {x.shape[1:]}; use a smaller side"
        )
    rows, columns = area_weights(x.shape[1], side), area_weights(x.shape[2], side)
    shrunk = np.einsum("rh,nh...->nr...", rows, x, optimize=True)
    return np.ascontiguousarray(np.einsum("cw,nrw...->nrc...", columns, shrunk, optimize=True))


def pad_images(x: Features, side: int) -> Features:
    """Put images into the middle of `side` × `side` zeros; an odd pixel goes below and right.

    Args:
        x: Images, shape (samples, height, width) or (samples, height, width, channels).
        side: New height and width in pixels, at least the old ones.

    Raises:
        DataError: If samples are no images or larger than `side`.
    """
    if x.ndim not in (3, 4) or max(x.shape[1:3]) > side:
        raise DataError(
            f"`pad` to side {side} puts zeros around images of at most {side}×{side}, got samples "
            f"of shape {x.shape[1:]}; use a larger side"
        )
    before = [(side - old) // 2 for old in x.shape[1:3]]
    after = [side - old - b for old, b in zip(x.shape[1:3], before, strict=True)]
    widths = [(0, 0), *zip(before, after, strict=True), *[(0, 0)] * (x.ndim - 3)]
    return np.pad(x, widths)


def area_weights(old: int, new: int) -> Float32[np.ndarray, "{new} {old}"]:
    """Share of each old pixel (column) in each new one (row), one axis; rows sum to 1."""
    scale = old / new
    start, end = np.arange(new)[:, None] * scale, (np.arange(new)[:, None] + 1) * scale
    pixel = np.arange(old)[None]
    overlap = np.minimum(end, pixel + 1) - np.maximum(start, pixel)
    weights: np.ndarray = (np.clip(overlap, 0, None) / scale).astype(np.float32)
    return weights


def principal_components(
    x: Features, count: int
) -> tuple[Float[np.ndarray, " features"], Float[np.ndarray, "{count} features"]]:
    """Mean and the `count` directions of largest variance of flattened samples, largest first.

    The largest entry of a direction is positive, so that the result is unique.

    Raises:
        DataError: If there are fewer features or samples than `count`.
    """
    flat = x.reshape(len(x), -1)
    if count > min(flat.shape):
        raise DataError(
            f"`pca` of {count} components needs as many training samples and features, got "
            f"{flat.shape[0]} of {flat.shape[1]}; ask for fewer components"
        )
    find = _exact_components if flat.shape[1] <= MAX_EXACT else _few_components
    mean, components = find(flat, count)
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    return mean, components * np.sign(largest)


def _exact_components(x: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    flat = x.astype(np.float64)
    mean = flat.mean(axis=0)
    flat -= mean
    _, vectors = np.linalg.eigh(flat.T @ flat)
    return mean, vectors.T[::-1][:count]


def _few_components(x: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Without a matrix of all pairs of features; of many samples by random projections.

    Those are of one seed (Halko et al. 2009, arXiv:0909.4061).
    """
    from sklearn.decomposition import PCA

    solver = "full" if len(x) <= FEW_SAMPLES else "randomized"
    fitted = PCA(count, svd_solver=solver, random_state=0).fit(x)
    return fitted.mean_.astype(np.float64), fitted.components_.astype(np.float64)


def rescale(dataset: Dataset, low: float, high: float) -> Dataset:
    """Smallest and largest value of each feature over the training samples become `low` and `high`.

    What lies beyond in other samples is cut off; a feature that is the same everywhere is `low`.
    """
    least, most = (end(dataset.x_train, axis=0).astype(np.float64) for end in (np.min, np.max))
    scale = (high - low) / np.where(most > least, most - least, 1)

    def change(x: Features) -> Features:
        moved: Features = (low + (x - least) * scale).astype(np.float32)
        return moved.clip(np.float32(low), np.float32(high))

    return map_features(dataset, change)


def project_on_components(dataset: Dataset, count: int) -> Dataset:
    """Replace features by the first `principal_components` of the training samples."""
    mean, components = principal_components(dataset.x_train, count)

    def project(x: Features) -> Features:
        flat = x.reshape(len(x), -1)
        projected: Features = (flat - mean.astype(np.float32)) @ components.T.astype(np.float32)
        return np.ascontiguousarray(projected, dtype=np.float32)

    return map_features(dataset, project)


def standardise_target(dataset: Dataset) -> Dataset:
    """Labels minus the mean of the training labels, over their standard deviation.

    Raises:
        DataError: Labels are classes, or all the same.
    """
    if not dataset.regression:
        raise DataError(
            f"`standardise_target` is for regression, data set `{dataset.name}` has classes; leave "
            "it out"
        )
    mean, deviation = dataset.y_train.mean(dtype=np.float64), dataset.y_train.std(dtype=np.float64)
    if not deviation:
        raise DataError(f"all labels of data set `{dataset.name}` are the same; nothing to learn")
    train, test = (
        ((y - mean) / deviation).astype(np.float32) for y in (dataset.y_train, dataset.y_test)
    )
    return dataset._replace(y_train=train, y_test=test)
