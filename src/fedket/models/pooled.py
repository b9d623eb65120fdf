"""A convolution and the maximum over 2×2 tiles of it, by compiled kernels where there are some.

`max_pool(conv2d(kernel, bias, x))` of `fedket.models.layers` is the reference, and what runs
elsewhere, see `fedket.quantum.native`; results are the same to rounding. XLA's CPU backend writes
patches and maxima to memory, and multiplies the zeros of three pixels of a tile on the way back.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from fedket.models.layers import Images, conv2d, max_pool
from fedket.quantum import native

Kernel = Float[Array, "outputs inputs k k"]
Bias = Float[Array, " outputs"]
Maxima = Float[Array, "outputs rows columns batch"]
Winner = UInt8[Array, "outputs rows columns batch"]
"""Which pixel of each tile is the largest, row by row, the first one among equals."""


def pooled_conv2d(kernel: Kernel, bias: Bias, x: Images) -> Maxima:
    """Maxima over the 2×2 tiles of a valid cross-correlation, whose sides must be even."""
    sides = [side - kernel.shape[-1] + 1 for side in x.shape[1:3]]
    compiled = native.has("fedket_pooled") and jax.default_backend() == "cpu"
    if not compiled or kernel.shape[1] != x.shape[0] or any(s <= 0 or s % 2 for s in sides):
        return _reference(kernel, bias, x)
    dtype = jnp.result_type(kernel, bias, x)
    return _with_winners(kernel.astype(dtype), bias.astype(dtype), x.astype(dtype))[0]


def _reference(kernel: Kernel, bias: Bias, x: Images) -> Maxima:
    return max_pool(conv2d(kernel, bias, x))


@jax.custom_vjp
def _with_winners(kernel: Kernel, bias: Bias, x: Images) -> tuple[Maxima, Winner]:
    k = kernel.shape[-1]
    shape = kernel.shape[0], (x.shape[1] - k + 1) // 2, (x.shape[2] - k + 1) // 2, x.shape[3]
    results = jax.ShapeDtypeStruct(shape, x.dtype), jax.ShapeDtypeStruct(shape, jnp.uint8)
    found: tuple[Maxima, Winner] = _call("fedket_pooled", results)(kernel, bias, x)
    return found


def _forward(kernel: Kernel, bias: Bias, x: Images) -> tuple[Any, tuple[Array, ...]]:
    maxima, winner = _with_winners(kernel, bias, x)
    return (maxima, winner), (kernel, bias, x, winner)


def _backward(saved: tuple[Array, ...], cotangents: tuple[Array, Any]) -> tuple[Array, ...]:
    return _pull_back(*saved, cotangents[0])


@jax.custom_vjp
def _pull_back(
    kernel: Kernel, bias: Bias, x: Images, winner: Winner, cotangent: Maxima
) -> tuple[Kernel, Bias, Images]:
    """Cotangents; two calls, so that that of the images is left out where nobody asks for it."""
    arguments = kernel, x, winner, cotangent
    like = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (kernel, bias, x)]
    first, second = _call("fedket_pooled_kernel_back", tuple(like[:2]))(*arguments)
    return first, second, _call("fedket_pooled_images_back", like[2])(*arguments)


def _pull_back_forward(*arguments: Array) -> tuple[Any, tuple[Array, ...]]:
    return _pull_back(*arguments), arguments


def _pull_back_backward(saved: tuple[Array, ...], cotangents: tuple[Array, ...]) -> Any:
    """Second derivatives, through the reference, which JAX can look into."""
    kernel, bias, x, winner, cotangent = saved

    def again(kernel: Kernel, bias: Bias, x: Images, cotangent: Maxima) -> tuple[Array, ...]:
        return tuple(jax.vjp(_reference, kernel, bias, x)[1](cotangent))

    *three, last = jax.vjp(again, kernel, bias, x, cotangent)[1](tuple(cotangents))
    return *three, np.zeros(winner.shape, jax.dtypes.float0), last


_with_winners.defvjp(_forward, _backward)
_pull_back.defvjp(_pull_back_forward, _pull_back_backward)


def _call(target: str, results: Any) -> Any:
    return jax.ffi.ffi_call(target, results, vmap_method="broadcast_all")
