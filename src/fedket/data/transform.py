"""Fewer features per image: shrink by area, project on principal components, centre the range.

Everything that is fitted is fitted on training samples only.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from fedket.errors import DataError
from fedket.types import Dataset

Features = Float32[np.ndarray, "samples ..."]
PixelRange = Literal["unit", "signed"]


class Transform(NamedTuple):
    """What is done to features, in this order; the default does nothing.

    Attributes:
        pixel_range: `unit` keeps features as they are, images in [0, 1]; `signed` is
            (x − 0.5) / 0.5, images in [−1, 1].
        resize: Side of the square that images are shrunk to, by area; 0 keeps them.
        pad: Side of the square that images are put into, centred, zeros around; 0 keeps them.
        pca: Principal components that become the features; 0 keeps all features.
    """

    pixel_range: PixelRange = "unit"
    resize: int = 0
    pad: int = 0
    pca: int = 0


UNCHANGED = Transform()
"""Features as they come."""


def transform_dataset(dataset: Dataset, transform: Transform) -> Dataset:
    """Apply a transform to both parts of a data set.

    Raises:
        DataError: Samples are no images, smaller than `resize` or larger than `pad`, or have fewer
            features (or training samples) than `pca` asks for.
    """
    train, test = dataset.x_train, dataset.x_test
    if transform.pixel_range == "signed":
        train, test = ((x - np.float32(0.5)) / np.float32(0.5) for x in (train, test))
    if transform.resize:
        train, test = (shrink_images(x, transform.resize) for x in (train, test))
    if transform.pad:
        train, test = (pad_images(x, transform.pad) for x in (train, test))
    if transform.pca:
        mean, components = principal_components(train, transform.pca)
        train, test = (_project(x, mean, components) for x in (train, test))
    return dataset._replace(x_train=train, x_test=test)


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
            f"resize = {side} shrinks images of at least {side}×{side}, got samples of shape "
            f"{x.shape[1:]}; use a smaller side, or 0 to keep them"
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
            f"pad = {side} puts zeros around images of at most {side}×{side}, got samples of shape "
            f"{x.shape[1:]}; use a larger side, or 0 to keep them"
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
    flat = x.reshape(len(x), -1).astype(np.float64)
    if count > min(flat.shape):
        raise DataError(
            f"pca = {count} needs as many training samples and features, got {flat.shape[0]} of "
            f"{flat.shape[1]}; ask for fewer components"
        )
    mean = flat.mean(axis=0)
    flat -= mean
    _, vectors = np.linalg.eigh(flat.T @ flat)
    components = vectors.T[::-1][:count]
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    return mean, components * np.sign(largest)


def _project(
    x: Features, mean: Float[np.ndarray, " features"], components: Float[np.ndarray, "k features"]
) -> Features:
    flat = x.reshape(len(x), -1)
    projected: Features = (flat - mean.astype(np.float32)) @ components.T.astype(np.float32)
    return np.ascontiguousarray(projected, dtype=np.float32)
