"""What a frozen network is: named arrays of known shapes and one function from images to features.

Images are (batch, height, width, 3), RGB, float32 in [0, 1]; kernels are HWIO, depthwise ones
(height, width, channels, 1). Nothing here is trained, and nothing draws random numbers.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
from jaxtyping import Array, Float

Weights = Mapping[str, Array]
"""Array name -> float32 array, `<layer>/kernel` and `<layer>/bias`."""

Images = Float[Array, "batch height width 3"]
Resized = Float[Array, "batch rows columns 3"]
Features = Float[Array, "batch features"]


class Backbone(NamedTuple):
    """A frozen network up to its last convolution, pooled to a fixed number of features.

    Attributes:
        name: Its name in configurations.
        shapes: Shape of every array it needs.
        num_features: Features per image.
        smallest_side: Smallest height and width of an image, pixels.
        preprocessing: How [0, 1] becomes the network's input, in words; part of a cache's key.
        torch_names: PyTorch's name of an array -> its name here; empty if there is no such file.
        apply: (weights, images) -> features.
    """

    name: str
    shapes: dict[str, tuple[int, ...]]
    num_features: int
    smallest_side: int
    preprocessing: str
    torch_names: dict[str, str]
    apply: Callable[[Weights, Images], Features]


def resize(images: Images, side: int) -> Resized:
    """Bilinear resize to side × side pixels (half-pixel centres); aspect ratios are not kept.

    Shrinking averages over the pixels that fall together, as antialiasing image libraries do.
    """
    batch, height, width, channels = images.shape
    if height == width == side:
        return images
    resized: Resized = jax.image.resize(images, (batch, side, side, channels), "bilinear")
    return resized


def layer_shapes(kernels: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Shapes of kernels and their biases; a depthwise kernel (last axis 1) has one per channel."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, shape in kernels.items():
        shapes[f"{layer}/kernel"] = shape
        shapes[f"{layer}/bias"] = (shape[2] if shape[3] == 1 else shape[3],)
    return shapes
