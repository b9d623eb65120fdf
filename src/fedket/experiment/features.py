"""Images become features of a frozen network: the one place where data meets `models.backbones`."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from fedket.data.features import cached_features, weights_digest
from fedket.data.pretrained import find_weights, read_weights
from fedket.data.sources import data_directory
from fedket.errors import ConfigError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.config_data import FeaturesConfig
from fedket.models.backbones import BACKBONES, Backbone, fit_weights, resize
from fedket.types import Dataset

PIXELS_PER_BATCH = 2**20
"""Pixels that enter the network at once: VGG16's first maps take 256 bytes for each."""

LARGEST_BATCH = 64


def with_features(config: ExperimentConfig, dataset: Dataset) -> Dataset:
    """Replace images by the features of the configured network; a no-op without one.

    Features are worked out once, in float32 whatever the engine computes in, and kept on disk.

    Args:
        config: Its `features` and `data.directory` are used.
        dataset: Samples (height, width) or (height, width, 3), in [0, 1].

    Returns:
        The data set with samples of shape (features,).

    Raises:
        ConfigError: The samples are no images, or too small.
        DataError: The weights are missing, damaged or another network's, or the cache cannot be
            written.
    """
    c = config.features
    if c.backbone == "none":
        return dataset
    backbone = BACKBONES[c.backbone]()
    side = _check_images(backbone, c, dataset, config.transform.pixel_range)
    source = find_weights(c.backbone, c.weights, data_directory(config.data.directory))
    weights = fit_weights(backbone, read_weights(source), str(source))
    recipe = f"{backbone.name} of {weights_digest(weights)}, {backbone.preprocessing}, side {side}"
    batch = min(LARGEST_BATCH, max(1, PIXELS_PER_BATCH // (side or 1) ** 2))
    with jax.enable_x64(False):
        features = cached_features(
            _extractor(backbone, weights, side),
            {"train": dataset.x_train, "test": dataset.x_test},
            recipe,
            _cache_folder(c.cache),
            batch=batch,
        )
    return dataset._replace(x_train=features["train"], x_test=features["test"])


def _check_images(backbone: Backbone, config: FeaturesConfig, dataset: Dataset, scaled: str) -> int:
    """The side images are resized to, 0 for none; refuses what the network cannot take."""
    shape = dataset.x_train.shape[1:]
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3)):
        raise ConfigError(
            f"features.backbone `{backbone.name}` takes images, data set `{dataset.name}` has "
            f'samples of shape {shape}; use images, or backbone = "none"'
        )
    if scaled != "unit":
        raise ConfigError(
            f"features.backbone `{backbone.name}` scales pixels itself, transform.pixel_range is "
            f"`{scaled}`; leave it out"
        )
    smallest = config.image_side or min(shape[:2])
    if smallest < backbone.smallest_side:
        raise ConfigError(
            f"features.backbone `{backbone.name}` takes images from {backbone.smallest_side} "
            f"pixels a side, these have {smallest}; set features.image_side to "
            f"{backbone.smallest_side} or more"
        )
    return config.image_side


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
