"""What a frozen network is: named arrays of known shapes and one function from images to features.

Images are (batch, height, width, 3), RGB, float32 in [0, 1]; kernels are HWIO, depthwise ones
(height, width, channels, 1). Nothing here is trained, and nothing draws random numbers.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from fedket.errors import DataError

Weights = Mapping[str, Array]
"""Array name -> float32 array, `<layer>/kernel` and `<layer>/bias`."""

Arrays = Mapping[str, np.ndarray]
"""The same as a weights file has them."""

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


def fit_weights(backbone: Backbone, arrays: Arrays, source: str) -> dict[str, np.ndarray]:
    """Pick, rename and check the arrays a backbone needs; others (a classifier's) are left.

    Args:
        backbone: The network.
        arrays: By name: either its own, kernels HWIO, or PyTorch's, kernels OIHW.
        source: The file, for messages.

    Returns:
        Every array of `backbone.shapes`, float32.

    Raises:
        DataError: An array is missing, has another shape, is no float array, or is not finite.
    """
    own = {**_from_torch(backbone, arrays, source), **arrays}
    weights = {}
    for name, shape in backbone.shapes.items():
        if name not in own:
            raise DataError(_missing(backbone, name, arrays, source))
        array = own[name]
        if array.shape != shape or array.dtype.kind != "f":
            raise DataError(
                f"{source}: `{name}` should be floats of shape {shape} for {backbone.name}, got "
                f"{array.dtype} of shape {array.shape}; is it another network's file?"
            )
        weights[name] = np.ascontiguousarray(array, dtype=np.float32)
        if not np.isfinite(weights[name]).all():
            raise DataError(f"{source}: `{name}` holds NaN or infinity; get the file again")
    return weights


def _from_torch(backbone: Backbone, arrays: Arrays, source: str) -> dict[str, np.ndarray]:
    """Arrays under PyTorch's names, kernels turned from OIHW to HWIO."""
    found = {}
    for torch_name, name in backbone.torch_names.items():
        if torch_name not in arrays:
            continue
        array = arrays[torch_name]
        if name.endswith("/kernel"):
            if array.ndim != 4:
                raise DataError(
                    f"{source}: `{torch_name}` has shape {array.shape}; a kernel has four axes"
                )
            array = array.transpose(2, 3, 1, 0)
        found[name] = array
    return found


def _missing(backbone: Backbone, name: str, arrays: Arrays, source: str) -> str:
    """Name what is missing as the file would call it."""
    torch_name = {own: torch for torch, own in backbone.torch_names.items()}.get(name)
    either = f"`{name}`" + (f" (or `{torch_name}`)" if torch_name else "")
    shown = ", ".join(sorted(arrays)[:4]) + (", ..." if len(arrays) > 4 else "")
    return (
        f"{source} lacks {either} of {backbone.name}; it holds {len(arrays)} arrays"
        f"{f' ({shown})' if shown else ''}: give the file of the whole network"
    )
