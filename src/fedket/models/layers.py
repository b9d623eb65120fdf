"""Layers of small convolutional networks, laid out like the circuit engine: batch last.

Images are (channels, height, width, batch) and features (features, batch), so that patches,
pooling and biases are vertical operations on contiguous rows, and every layer is one GEMM with the
weights on the left. Weights have PyTorch's layouts: (out, in, k, k) and (out, in).
"""

from math import prod

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from fedket.errors import DataError

Images = Float[Array, "channels height width batch"]
Pooled = Float[Array, "channels rows columns batch"]


def as_images(x: Float[Array, "batch *shape"], side: int) -> Images:
    """Lay samples (batch, h, w) or (batch, h, w, channels) out, zero-padded evenly to `side`.

    Raises:
        DataError: If samples are no images or larger than `side` × `side`.
    """
    images = x[..., None] if x.ndim == 3 else x
    if images.ndim != 4 or max(images.shape[1:3]) > side:
        raise DataError(f"expected images of at most {side}×{side}, got samples of {x.shape[1:]}")
    spare = [side - images.shape[1], side - images.shape[2]]
    pads = [(s // 2, s - s // 2) for s in spare]
    return jnp.pad(images, ((0, 0), *pads, (0, 0))).transpose(3, 1, 2, 0)


def conv2d(
    kernel: Float[Array, "outputs inputs k k"], bias: Float[Array, " outputs"], x: Images
) -> Float[Array, "outputs rows columns batch"]:
    """Valid cross-correlation with stride 1 as an im2col GEMM: sides shrink by k − 1.

    Columns are unfolded before rows, so that the backward pass folds k + k slices, not k².
    """
    outputs, inputs, k, _ = kernel.shape
    channels, height, width, batch = x.shape
    if channels != inputs:
        raise DataError(f"the network takes {inputs} channels, got images with {channels}")
    rows, columns = height - k + 1, width - k + 1
    patches = jnp.stack([x[:, :, j : j + columns] for j in range(k)], axis=1)
    patches = jnp.stack([patches[:, :, i : i + rows] for i in range(k)], axis=1)
    flat = kernel.reshape(outputs, -1) @ patches.reshape(inputs * k * k, -1)
    return (flat + bias[:, None]).reshape(outputs, rows, columns, batch)


@jax.custom_vjp
def max_pool(x: Images) -> Pooled:
    """Maximum over 2×2 tiles; sides must be even.

    The gradient goes to the first maximum of a tile, as in PyTorch; JAX would share it out among
    equals, at twice the cost of the whole layer.
    """
    upper_left, upper_right, lower_left, lower_right = _tile(x)
    return jnp.maximum(jnp.maximum(upper_left, upper_right), jnp.maximum(lower_left, lower_right))


def _max_pool_forward(x: Images) -> tuple[Pooled, tuple[Images, Pooled]]:
    maxima = max_pool(x)
    return maxima, (x, maxima)


def _max_pool_backward(saved: tuple[Images, Pooled], cotangent: Pooled) -> tuple[Images]:
    x, maxima = saved
    rest, parts = cotangent, []
    for corner in _tile(x)[:3]:
        parts.append(jnp.where(corner == maxima, rest, 0))
        rest = jnp.where(corner == maxima, 0, rest)
    rows = [jnp.stack(parts[:2], axis=3), jnp.stack([parts[2], rest], axis=3)]
    return (jnp.stack(rows, axis=2).reshape(x.shape),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def _tile(x: Images) -> list[Pooled]:
    """The four corners of every 2×2 tile, row by row."""
    channels, height, width, batch = x.shape
    tiles = x.reshape(channels, height // 2, 2, width // 2, 2, batch)
    return [tiles[:, :, i, :, j] for i in (0, 1) for j in (0, 1)]


def flatten(x: Float[Array, "*shape batch"]) -> Float[Array, "features batch"]:
    """Merge channels, height and width, in this order (PyTorch's); features stay as they are."""
    return x.reshape(prod(x.shape[:-1]), x.shape[-1])


def linear(
    kernel: Float[Array, "outputs inputs"],
    bias: Float[Array, " outputs"],
    x: Float[Array, "inputs batch"],
) -> Float[Array, "outputs batch"]:
    """Affine map of features."""
    return kernel @ x + bias[:, None]


def dropout(
    x: Float[Array, "*shape batch"], rate: float, rng: PRNGKeyArray | None
) -> Float[Array, "*shape batch"]:
    """Inverted dropout: a share `rate` in [0, 1) becomes 0, the others are divided by 1 − rate.

    The identity in evaluation, where there is no rng.
    """
    if rng is None or rate == 0:
        return x
    kept = jax.random.bernoulli(rng, 1 - rate, x.shape)
    return jnp.where(kept, x / (1 - rate), 0)


def init_layer(rng: PRNGKeyArray, kernel: tuple[int, ...]) -> dict[str, Array]:
    """Kernel of that shape and bias, both U(−1/√fan_in, 1/√fan_in): PyTorch's default start."""
    kernel_rng, bias_rng = jax.random.split(rng)
    bound = prod(kernel[1:]) ** -0.5
    return {
        "kernel": jax.random.uniform(kernel_rng, kernel, minval=-bound, maxval=bound),
        "bias": jax.random.uniform(bias_rng, kernel[:1], minval=-bound, maxval=bound),
    }
