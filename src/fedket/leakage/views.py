"""What the server sees of clients that take one step on a batch each, as vectors.

One step of plain SGD is the gradient of the batch's mean loss: the update that gives most away.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from fedket.federated.losses import Loss
from fedket.types import Model, Params

TINY = 1e-30
"""In place of norms that are 0."""

Vectors = Float[Array, "views values"]


def client_gradients(
    model: Model,
    loss: Loss,
    params: Params,
    x: Float[Array, "clients samples *features"],
    y: Int[Array, "clients samples"],
) -> Vectors:
    """Each client's gradient of its mean loss; traceable, and differentiable in `x`.

    Args:
        model: What is trained; dropout and shot noise are off.
        loss: (logits, labels) -> loss of each sample.
        params: The global model.
        x: Samples of each client.
        y: Their labels.
    """

    def one(x: Array, y: Array) -> Array:
        gradient = jax.grad(lambda w: loss(model.apply(w, x), y).mean())(params)
        return ravel_pytree(gradient)[0]

    return jax.vmap(one)(x, y)


def clipped(updates: Vectors, norm: float) -> Vectors:
    """Updates scaled down to an L2 norm of at most `norm`."""
    norms = jnp.linalg.norm(updates, axis=1, keepdims=True)
    return updates * jnp.minimum(1, norm / jnp.maximum(norms, TINY))


def group_sums(updates: Float[Array, "clients values"], size: int) -> Float[Array, "groups values"]:
    """Sums over groups of `size` clients, in their order: all that a secure sum shows."""
    return updates.reshape(-1, size, updates.shape[1]).sum(axis=1)


def noisy(sums: Vectors, deviation: float, rng: np.random.Generator) -> Vectors:
    """Sums with Gaussian noise of that standard deviation on each value."""
    return sums + jnp.asarray(rng.normal(0, deviation, sums.shape), sums.dtype)
