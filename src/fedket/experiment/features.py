"""Images become features of a frozen network: the one place where data meets `models.backbones`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from fedket.data.features import arrays_digest, cached_features
from fedket.data.pretrained import find_weights, read_weights
from fedket.data.sources import data_directory
from fedket.errors import ConfigError
from fedket.models.backbones import BACKBONES
from fedket.models.backbones.backbone import Backbone, fit_weights, resize
from fedket.schema import FREE
from fedket.section import Context, Section
from fedket.types import Dataset, Transform

PIXELS_PER_BATCH = 2**20
"""Pixels that enter the network at once: VGG16's first maps take 256 bytes for each."""

LARGEST_BATCH = 64


class FeaturesConfig(Section):
    """Features of a frozen, pretrained network in place of images; they are kept on disk."""

    kind: Literal["features"] = "features"
    backbone: Literal["squeezenet1_1", "mobilenet_v2", "vgg16"]
    """512 features (fire9, mean over space), 1,280 (last convolution, mean over space), or 25,088
    (adaptive average pool to 7x7, flattened)."""
    weights: str = ""
    """Weights file: a path, or a name below the data directory; empty means the usual one, which
    is downloaded for `vgg16`."""
    image_side: Annotated[int, Field(ge=0, le=1024)] = 0
    """Resize images to n pixels a side; 0 takes them as they are."""
    directory: Annotated[str, FREE] = ""
    """Data directory; empty means `FEDKET_DATA`, else the user's cache."""
    cache: Annotated[str, FREE] = ""
    """Folder for features; empty means the user's cache."""

    def build(self, context: Context) -> Transform:
        """The transform."""
        return Transform(partial(replace_by_features, self))


def replace_by_features(config: FeaturesConfig, dataset: Dataset) -> Dataset:
    """Replace images by the features of a frozen network.

    Features are worked out once, in float32 whatever the engine computes in, and kept on disk.

    Args:
        config: Which network.
        dataset: Samples (height, width) or (height, width, 3), in [0, 1].

    Returns:
        The data set with samples of shape (features,).

    Raises:
        ConfigError: The samples are no images, or too small.
        DataError: The weights are missing, damaged or another network's, or the cache cannot be
            written.
    """
    backbone = BACKBONES[config.backbone]()
    _check_images(backbone, config.image_side, dataset)
    side = config.image_side
    source = find_weights(config.backbone, config.weights, data_directory(config.directory))
    weights = fit_weights(backbone, read_weights(source), str(source))
    recipe = f"{backbone.name} of {arrays_digest(weights)}, {backbone.preprocessing}, side {side}"
    batch = min(LARGEST_BATCH, max(1, PIXELS_PER_BATCH // (side or 1) ** 2))
    with jax.enable_x64(False):
        features = cached_features(
            _extractor(backbone, weights, side),
            {"train": dataset.x_train, "test": dataset.x_test},
            recipe,
            _cache_folder(config.cache),
            batch=batch,
        )
    return dataset._replace(x_train=features["train"], x_test=features["test"])


def _check_images(backbone: Backbone, side: int, dataset: Dataset) -> None:
    """Refuse what the network cannot take."""
    shape = dataset.x_train.shape[1:]
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3)):
        raise ConfigError(
            f"backbone `{backbone.name}` takes images, data set `{dataset.name}` has samples of "
            f"shape {shape}; use images, or leave the transform `features` out"
        )
    if dataset.x_train.size and dataset.x_train.min() < 0:
        raise ConfigError(
            f"backbone `{backbone.name}` scales pixels of 0 to 1 itself, the least one here is "
            f"{dataset.x_train.min():g}; leave the transform `signed` before it out"
        )
    smallest = side or min(shape[:2])
    if smallest < backbone.smallest_side:
        raise ConfigError(
            f"backbone `{backbone.name}` takes images from {backbone.smallest_side} pixels a side, "
            f"these have {smallest}; set its image_side to {backbone.smallest_side} or more"
        )


def _extractor(
    backbone: Backbone, weights: dict[str, np.ndarray], side: int
) -> Callable[[np.ndarray], np.ndarray]:
    """The network as a function of a batch of images; grey ones count for all three channels."""
    on_device = {name: jnp.asarray(array) for name, array in weights.items()}

    @jax.jit
    def run(arrays: dict[str, jax.Array], images: jax.Array) -> jax.Array:
        x = images if images.ndim == 4 else images[..., None]
        x = jnp.broadcast_to(x, (*x.shape[:3], 3))
        return backbone.apply(arrays, resize(x, side) if side else x)

    return lambda images: np.asarray(run(on_device, images))


def _cache_folder(named: str) -> Path:
    if named:
        return Path(named).expanduser()
    import pooch

    return Path(pooch.os_cache("fedket")).expanduser() / "features"
