"""Fisher information of a trained model on a client's own samples.

ℓ(x, y) is the loss of one sample, −log p(y | x) for cross-entropy; its gradient g has one entry
per parameter. Labels are the true ones (the *empirical* Fisher information).
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray

from fedket.federated.local import masked_loss, shuffled
from fedket.federated.losses import Loss, cross_entropy
from fedket.types import Model, Params

FisherKind = Literal["empirical", "literal"]
Normalisation = Literal["min_max", "max", "l1", "none"]


FLAT = 1e-4
"""Spread of a layer, relative to its largest entry, that `min_max` takes for rounding errors."""


class FisherSettings(NamedTuple):
    """How a client estimates the diagonal.

    Attributes:
        kind: `empirical` is the mean of g² over samples; `literal` the square of the mean of g, as
            QFedFisher (arXiv:2507.17580) writes it.
        normalisation: Per layer (see `Model.layered`; otherwise per leaf): `min_max` to [0, 1],
            `max` divides by the largest entry, `l1` by the sum, `none` does nothing.
        num_samples: Samples drawn at random for the estimate; 0 takes all of the client's.
        batch_size: Samples worked on at a time, at most.
        loss: The loss that was trained with.
    """

    kind: FisherKind = "empirical"
    normalisation: Normalisation = "min_max"
    num_samples: int = 48
    batch_size: int = 32
    loss: Loss = cross_entropy


def per_sample_gradients(
    model: Model,
    params: Params,
    x: Float[Array, "batch *features"],
    y: Num[Array, " batch"],
    loss: Loss = cross_entropy,
) -> Params:
    """Gradient of every sample's loss: leaves (batch, ...).

    Uses the model's own `per_sample_vjp` if it has one; otherwise differentiates one sample after
    the other (`jax.vmap` of `jax.grad`).
    """
    if model.per_sample_vjp is not None:
        logits, pull_back = model.per_sample_vjp(params, x)
        return pull_back(jax.grad(lambda z: loss(z, y).sum())(logits))

    def one(x: Array, y: Array) -> Params:
        return jax.grad(lambda w: loss(model.apply(w, x[None]), y[None])[0])(params)

    return jax.vmap(one)(x, y)


def diagonal_fisher(
    settings: FisherSettings,
    model: Model,
    params: Params,
    x: Float[Array, "samples *features"],
    y: Num[Array, " samples"],
    mask: Bool[Array, " samples"],
    rng: PRNGKeyArray,
) -> Params:
    """Normalised diagonal of the Fisher information, shaped like `params`; traceable.

    Args:
        settings: Which estimate.
        model: The model, applied as in evaluation.
        params: Where to evaluate: the client's trained parameters.
        x: The client's samples, padded.
        y: Their labels.
        mask: False on padding, which counts for nothing.
        rng: Draws the samples.
    """
    most = min(settings.num_samples or x.shape[0], x.shape[0])
    size = -(-most // -(-most // settings.batch_size))
    count = jnp.minimum(mask.sum(), most)
    order = shuffled(rng, mask, size)

    def add_batch(b: Int[Array, ""], total: Params) -> Params:
        batch = jax.lax.dynamic_slice_in_dim(order, b * size, size)
        valid = b * size + jnp.arange(size) < count
        return jax.tree.map(jnp.add, total, sums(x[batch], y[batch], valid))

    def squares(x: Array, y: Array, valid: Array) -> Params:
        gradients = per_sample_gradients(model, params, x, y, settings.loss)
        chosen = valid.astype(x.dtype)
        return jax.tree.map(lambda g: jnp.tensordot(chosen, g**2, axes=1), gradients)

    def gradients(x: Array, y: Array, valid: Array) -> Params:
        def total_loss(w: Params) -> Array:
            return masked_loss(model.apply(w, x), y, valid, settings.loss) * valid.sum()

        return jax.grad(total_loss)(params)

    sums = squares if settings.kind == "empirical" else gradients
    zeros = jax.tree.map(jnp.zeros_like, params)
    total = jax.lax.fori_loop(0, (count + size - 1) // size, add_batch, zeros)
    mean = jax.tree.map(lambda leaf: leaf / jnp.maximum(count, 1), total)
    if settings.kind == "literal":
        mean = jax.tree.map(jnp.square, mean)
    return normalise(mean, model.layered, settings.normalisation)


def normalise(fisher: Params, layered: Any, how: Normalisation) -> Params:
    """Put every layer on a common scale.

    Args:
        fisher: Entries of at least 0.
        layered: Tree prefix: whether the first axis of a leaf counts layers; else it is one layer.
        how: See `FisherSettings`. A layer of zeros stays zero; one of entries that are equal (up
            to `FLAT`) and positive becomes 1 under `min_max`.
    """

    def subtree(layered: bool, leaves: Params) -> Params:
        return jax.tree.map(partial(_normalise_leaf, layered, how), leaves)

    return jax.tree.map(subtree, layered, fisher)


def _normalise_leaf(layered: bool, how: Normalisation, leaf: Array) -> Array:
    axes = tuple(range(1, leaf.ndim)) if layered else None
    high = leaf.max(axis=axes, keepdims=True)
    if how == "none":
        return leaf
    if how == "l1":
        return _divide(leaf, leaf.sum(axis=axes, keepdims=True))
    if how == "max":
        return _divide(leaf, high)
    low = leaf.min(axis=axes, keepdims=True)
    flat = high - low <= FLAT * high
    return jnp.where(flat & (high > 0), 1, _divide(leaf - low, high - low))


def _divide(values: Array, by: Array) -> Array:
    return jnp.where(by > 0, values / jnp.where(by > 0, by, 1), 0)


def full_fisher(
    model: Model,
    params: Params,
    x: Float[Array, "samples *features"],
    y: Num[Array, " samples"],
    mask: Bool[Array, " samples"],
    loss: Loss = cross_entropy,
) -> Float[Array, "parameters parameters"]:
    """The whole matrix, mean of g gᵀ over samples, parameters in the order of `jax.tree.leaves`.

    For small circuits: P² numbers. Samples with mask False are padding and count for nothing.
    """
    gradients = per_sample_gradients(model, params, x, y, loss)
    rows = [leaf.reshape(x.shape[0], -1) for leaf in jax.tree.leaves(gradients)]
    matrix = jnp.concatenate(rows, axis=1) * mask[:, None]
    return matrix.T @ matrix / jnp.maximum(mask.sum(), 1)
