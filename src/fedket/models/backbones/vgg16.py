"""VGG16 (Simonyan and Zisserman, arXiv:1409.1556, configuration D), as torchvision has it."""

from itertools import pairwise

import jax
import jax.numpy as jnp

from fedket.models.backbones.backbone import Backbone, Features, Images, Weights, layer_shapes
from fedket.models.backbones.layers import adaptive_mean, conv, max_pool

WIDTHS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and convolutions of each block."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's channel means and deviations, RGB in [0, 1], as torchvision's weights expect."""

POOLED_SIDE = 7
"""Side of the maps after adaptive pooling; 7 · 7 · 512 = 25,088 features."""


def vgg16() -> Backbone:
    """13 convolutions, then adaptive average pooling to 7×7: 25,088 features.

    Features are flattened channels first, so that torchvision's classifier would fit them. Images
    of any size from 32×32 enter as they are: the last maps of a 32×32 image are 1×1, and pooling
    repeats them 49 times (Chen and Yoo, arXiv:2103.12010, on CIFAR-10).
    """
    layers = [f"conv{b}_{c}" for b, (_, n) in enumerate(WIDTHS, 1) for c in range(1, n + 1)]
    channels = [3, *(width for width, count in WIDTHS for _ in range(count))]
    kernels = {layer: (3, 3, *pair) for layer, pair in zip(layers, pairwise(channels), strict=True)}
    return Backbone(
        name="vgg16",
        shapes=layer_shapes(kernels),
        num_features=POOLED_SIDE**2 * WIDTHS[-1][0],
        smallest_side=32,
        preprocessing=f"RGB (x - {MEAN}) / {STD}",
        torch_names=_torch_names(),
        apply=_apply,
    )


def _apply(weights: Weights, images: Images) -> Features:
    x = (images - jnp.asarray(MEAN, images.dtype)) / jnp.asarray(STD, images.dtype)
    for block, (_, count) in enumerate(WIDTHS, 1):
        for number in range(1, count + 1):
            x = jax.nn.relu(conv(weights, f"conv{block}_{number}", x, pads=((1, 1), (1, 1))))
        x = max_pool(x, 2, 2)
    x = adaptive_mean(x, POOLED_SIDE)
    return x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)


def _torch_names() -> dict[str, str]:
    """Names in torchvision's file: `features.<i>`, counting ReLUs and pools too."""
    names: dict[str, str] = {}
    index = 0
    for block, (_, count) in enumerate(WIDTHS, 1):
        for number in range(1, count + 1):
            layer = f"conv{block}_{number}"
            names |= {f"features.{index}.weight": f"{layer}/kernel"}
            names |= {f"features.{index}.bias": f"{layer}/bias"}
            index += 2
        index += 1
    return names
