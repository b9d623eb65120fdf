"""A batch split over several devices: each differentiates the loss of its own samples.

For few clients, who cannot keep all cores busy: a core that runs alone waits for no other, where
XLA would wake its threads for every small part of a step.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Num, PRNGKeyArray

from fedket.federated.losses import Loss
from fedket.federated.placement import BATCH
from fedket.types import Model, Params


def split_gradient(
    model: Model,
    loss: Loss,
    params: Params,
    x: Float[Array, "batch *features"],
    y: Num[Array, " batch"],
    valid: Bool[Array, " batch"],
    rng: PRNGKeyArray,
) -> tuple[Params, Float[Array, ""]]:
    """The gradient of a batch's mean loss, and that loss, as `LocalTraining.gradient` has them.

    Every device of the axis `BATCH` takes an equal part of the samples. Sums are taken in another
    order than on one device; samples must not depend on each other.
    """
    place, total = jax.lax.axis_index(BATCH), jnp.maximum(valid.sum(), 1)
    size = len(x) // jax.lax.axis_size(BATCH)
    own = partial(jax.lax.dynamic_slice_in_dim, start_index=place * size, slice_size=size)
    x, y, valid = own(x), own(y), own(valid)

    def objective(params: Params) -> Float[Array, ""]:
        logits = model.apply(params, x, jax.random.fold_in(rng, place))
        return jnp.sum(jnp.where(valid, loss(logits, y), 0)) / total

    value, gradient = jax.value_and_grad(objective)(params)
    added: tuple[Any, Array] = jax.lax.psum((gradient, value), BATCH)
    return added
