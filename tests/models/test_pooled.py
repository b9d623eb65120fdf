"""Convolutions with their pooling by compiled kernels, against the two layers in JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.models.layers import conv2d, max_pool
from fedket.models.pooled import pooled_conv2d
from fedket.quantum import native

pytestmark = pytest.mark.skipif(
    not native.has("fedket_pooled"), reason="fedket-native is not installed (pip install ./native)"
)

SHAPES = {
    "QFed's first, and part of a lane": ((8, 1, 5, 5), (1, 28, 28, 19), np.float32),
    "QFed's second": ((12, 8, 5, 5), (8, 12, 12, 16), np.float32),
    "images that are not square": ((5, 3, 4, 4), (3, 9, 13, 3), np.float64),
    "rows longer than three lanes": ((2, 19, 2, 2), (19, 5, 3, 9), np.float64),
    "large kernels": ((3, 2, 7, 7), (2, 8, 10, 17), np.float32),
}


def layers(kernel, bias, x):
    return max_pool(conv2d(kernel, bias, x))


def inputs(kernel_shape, x_shape, dtype, seed=0):
    """Few distinct values make ties among the pixels of a tile."""
    rng = np.random.default_rng(seed)
    shapes = kernel_shape, kernel_shape[:1], x_shape
    return [jnp.asarray(rng.integers(-2, 3, shape), dtype) for shape in shapes]


@pytest.mark.parametrize("name", SHAPES)
def test_kernels_agree_with_the_layers(name):
    """Whole numbers: sums are exact in any order, so values and winners must be equal."""
    dtype = SHAPES[name][2]
    with jax.enable_x64(dtype == np.float64):
        given = inputs(*SHAPES[name])

        def both(function):
            maxima, pull_back = jax.vjp(function, *given)
            weights = jnp.arange(maxima.size, dtype=dtype).reshape(maxima.shape) % 7
            return maxima, pull_back(weights)

        found, expected = jax.jit(lambda: both(pooled_conv2d))(), jax.jit(lambda: both(layers))()
        assert "fedket_pooled" in str(jax.make_jaxpr(pooled_conv2d)(*given))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_clients_with_kernels_of_their_own_and_second_derivatives():
    shapes = (3, 2, 3, 3), (2, 8, 6, 5), np.float32
    many = [
        jnp.stack(leaves) for leaves in zip(*(inputs(*shapes, s) for s in range(3)), strict=True)
    ]

    def curvature(function):
        def loss(kernel, bias, x):
            return jnp.sum(jnp.tanh(function(kernel, bias, x) / 9) ** 2)

        def pulled(*given):
            return sum(jnp.sum(g**2) for g in jax.grad(loss, argnums=(0, 2))(*given))

        return jax.jit(jax.vmap(jax.value_and_grad(pulled, argnums=(0, 1, 2))))(*many)

    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)  # noqa: E731
    jax.tree.map(close, curvature(pooled_conv2d), curvature(layers))


def test_what_is_no_number_is_not_lost_among_numbers():
    kernel, bias, x = inputs((2, 1, 3, 3), (1, 6, 6, 4), np.float32)
    x = x.at[0, 2, 2, 1].set(jnp.nan)
    found, expected = pooled_conv2d(kernel, bias, x), layers(kernel, bias, x)
    np.testing.assert_array_equal(jnp.isnan(found), jnp.isnan(expected))
    assert jnp.isnan(found).any()


def test_other_images_go_through_the_layers():
    """An odd side, which only the layers refuse in words of their own."""
    kernel, bias, x = inputs((2, 1, 3, 3), (1, 7, 7, 4), np.float32)
    with pytest.raises(TypeError):
        pooled_conv2d(kernel, bias, x)
