"""What training minimises: losses per sample, from logits and labels."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Num

Logits = Float[Array, "batch classes"]
Labels = Num[Array, " batch"]
Losses = Float[Array, " batch"]

Loss = Callable[[Logits, Labels], Losses]
"""(logits, labels 0..classes-1) -> one non-negative number per sample."""


def cross_entropy(logits: Logits, y: Labels) -> Losses:
    """Softmax cross-entropy, in nats."""
    losses: Losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
    return losses


def squared_error(logits: Logits, y: Labels) -> Losses:
    """Mean over outputs of (output − target)², see `as_targets`.

    With the two logits (z, −z) of the read-out `z0` this is (z − t)² for labels t = ±1, the loss
    of QuNetQFL (arXiv:2501.12709).
    """
    return ((logits - as_targets(logits, y)) ** 2).mean(axis=1)


def as_targets(logits: Logits, y: Labels) -> Float[Array, "batch classes"]:
    """What each output should be: 1 for the label's class and −1 for others; or the number itself.

    In regression there is one output.
    """
    if jnp.issubdtype(y.dtype, jnp.floating):
        return y[:, None].astype(logits.dtype)
    return 2 * jax.nn.one_hot(y, logits.shape[1], dtype=logits.dtype) - 1


def objective_of(loss: Loss, weights: Float[Array, " classes"] | None) -> Loss:
    """What training minimises per sample: the loss, `weighted_by_class` if there are weights."""
    return loss if weights is None else Partial(weighted_by_class, weights, loss)


def weighted_by_class(
    weights: Float[Array, " classes"], loss: Loss, logits: Logits, y: Labels
) -> Losses:
    """A loss times the weight of the sample's class."""
    return weights[y] * loss(logits, y)
