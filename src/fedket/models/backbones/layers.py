"""Layers of frozen networks, channels last: (batch, height, width, channels), kernels HWIO.

Only ever run forwards and once per image, so they are plain; 1×1 convolutions are GEMMs and
depthwise ones sums of shifted slices, because XLA's own are an order of magnitude slower on CPUs.
"""

from functools import reduce
from math import ceil, floor

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fedket.models.backbones.backbone import Weights

Maps = Float[Array, "batch rows columns channels"]
Out = Float[Array, "batch rows_out columns_out channels_out"]
Window = Float[Array, "batch rows_out columns_out channels"]
Pads = tuple[tuple[int, int], tuple[int, int]]


def conv(weights: Weights, layer: str, x: Maps, stride: int = 1, pads: Pads | str = "VALID") -> Out:
    """Cross-correlation and bias.

    Args:
        weights: Arrays of the network.
        layer: Name of the layer among them.
        x: Feature maps.
        stride: Step of the window in both directions.
        pads: Zeros (before, after) rows and columns, or `VALID`, or TensorFlow's `SAME`.
    """
    kernel, bias = weights[f"{layer}/kernel"], weights[f"{layer}/bias"]
    if kernel.shape[:2] == (1, 1) and stride == 1:
        return x @ kernel[0, 0] + bias
    out = jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return out + bias


def depthwise(weights: Weights, layer: str, x: Maps, stride: int = 1) -> Out:
    """Every channel by its own kernel, TensorFlow's `SAME` padding, and bias."""
    kernel, bias = weights[f"{layer}/kernel"], weights[f"{layer}/bias"]
    size = kernel.shape[0]
    sides = (_same_pads(x.shape[1], size, stride), _same_pads(x.shape[2], size, stride))
    padded = jnp.pad(x, ((0, 0), *sides, (0, 0)))
    windows = _windows(padded, size, stride)
    taps = [window * kernel[i, j, :, 0] for (i, j), window in windows]
    return reduce(jnp.add, taps) + bias


def max_pool(x: Maps, size: int, stride: int) -> Out:
    """Largest value of every window that lies wholly inside."""
    return reduce(jnp.maximum, [window for _, window in _windows(x, size, stride)])


def mean_over_space(x: Maps) -> Float[Array, "batch channels"]:
    """Global average pooling."""
    return x.mean(axis=(1, 2))


def adaptive_mean(x: Maps, size: int) -> Out:
    """Average pooling to size × size, whatever the size of `x` (PyTorch's `AdaptiveAvgPool2d`).

    Output i is the mean of inputs ⌊i·n/size⌋ … ⌈(i+1)·n/size⌉ − 1 in each direction.
    """
    rows = jnp.asarray(_averages(x.shape[1], size), x.dtype)
    columns = jnp.asarray(_averages(x.shape[2], size), x.dtype)
    return jnp.einsum("ih,bhwc,jw->bijc", rows, x, columns)


def _windows(x: Maps, size: int, stride: int) -> list[tuple[tuple[int, int], Window]]:
    """For each place in a window, its value in all windows."""
    height, width = (stride * ((n - size) // stride) + 1 for n in x.shape[1:3])
    places = [(i, j) for i in range(size) for j in range(size)]
    return [((i, j), x[:, i : i + height : stride, j : j + width : stride]) for i, j in places]


def _same_pads(length: int, size: int, stride: int) -> tuple[int, int]:
    """TensorFlow's padding: as many outputs as ⌈length / stride⌉, the odd zero at the end."""
    total = max((ceil(length / stride) - 1) * stride + size - length, 0)
    return total // 2, total - total // 2


def _averages(length: int, size: int) -> np.ndarray:
    """Matrix (size, length) that takes the means of `adaptive_mean`."""
    matrix = np.zeros((size, length))
    for i in range(size):
        start, stop = floor(i * length / size), ceil((i + 1) * length / size)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix
