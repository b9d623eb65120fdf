"""DP-SGD (Abadi et al. 2016, arXiv:1607.00133): a step that no single sample changes much.

The gradient of each sample is clipped to norm C, noise of standard deviation z·C is added to their
sum, and the sum is divided by the batch size, full or not. Batches are those of `local_train`,
shuffled epochs: a sample is in one batch of an epoch, so an epoch costs it one Gaussian mechanism,
and nothing is claimed for sampling, which would ask for batches drawn independently.

Noise is that of JAX's generator in floating point, a function of the client's key of the round.
"""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Num, PRNGKeyArray

from fedket.federated.fisher import per_sample_gradients
from fedket.federated.local import Gradient, masked_loss
from fedket.federated.losses import Loss
from fedket.federated.program import Number
from fedket.rng import Purpose
from fedket.types import Model, Params


def private_gradient(clip: Number, noise_multiplier: Number) -> Gradient:
    """Return the gradient for `LocalTraining.gradient`.

    Args:
        clip: C, largest norm of a sample's gradient.
        noise_multiplier: z; 0 only clips.
    """
    return Partial(_gradient, clip, noise_multiplier)


def _gradient(
    clip: Number,
    noise_multiplier: Number,
    model: Model,
    loss: Loss,
    params: Params,
    x: Float[Array, "batch *features"],
    y: Num[Array, " batch"],
    valid: Bool[Array, " batch"],
    rng: PRNGKeyArray,
) -> tuple[Params, Float[Array, ""]]:
    gradients = per_sample_gradients(model, params, x, y, loss)
    leaves, structure = jax.tree.flatten(gradients)
    norms = jnp.sqrt(sum(jnp.sum(leaf.reshape(len(y), -1) ** 2, axis=1) for leaf in leaves))
    factors = jnp.where(valid, jnp.minimum(1, clip / jnp.maximum(norms, 1e-30)), 0)
    rngs = jax.random.split(jax.random.fold_in(rng, int(Purpose.PRIVACY)), len(leaves))

    def noised(leaf: Array, leaf_rng: PRNGKeyArray) -> Array:
        noise = jax.random.normal(leaf_rng, leaf.shape[1:], leaf.dtype)
        total = jnp.tensordot(factors, leaf, axes=1) + noise_multiplier * clip * noise
        return total / len(y)

    summed = jax.tree.unflatten(structure, map(noised, leaves, rngs))
    return summed, masked_loss(model.apply(params, x), y, valid, loss)
