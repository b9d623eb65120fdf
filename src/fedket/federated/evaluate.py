"""Loss and accuracy of the global model, on the test set and on every client's own samples."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from fedket.federated.losses import Loss, cross_entropy
from fedket.federated.working_set import traced_bytes
from fedket.types import Model, Params, Partition

EVAL_BATCH = 512
"""Samples per evaluation batch; more than 2**n for small circuits, which then cost one GEMM."""


class Score(NamedTuple):
    """Per-sample outcome: the loss and whether the largest logit is the label's."""

    loss: Float[Array, " samples"]
    correct: Bool[Array, " samples"]


class Evaluation(NamedTuple):
    """The global model after a round.

    Attributes:
        test_loss: Mean loss on the test set, the loss being that of training.
        test_accuracy: Share of the test set classified correctly.
        client_accuracy: The same on each client's training samples, shape (clients,).
    """

    test_loss: float
    test_accuracy: float
    client_accuracy: np.ndarray


def evaluation_batch(model: Model, x: Array, memory_limit_mb: int) -> int:
    """Return the largest power of two up to `EVAL_BATCH` whose traced working set fits the limit.

    Args:
        model: The model.
        x: Samples, for their shape and type.
        memory_limit_mb: Limit in MiB; a single sample may exceed it.
    """
    params = jax.eval_shape(lambda: model.init(jax.random.key(0)))
    batch = EVAL_BATCH
    while batch > 1:
        some = jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype)
        if traced_bytes(model.apply, params, some) <= memory_limit_mb * 2**20:
            break
        batch //= 2
    return batch


def make_scorer(
    model: Model, batch: int = EVAL_BATCH, loss: Loss = cross_entropy
) -> Callable[..., Score]:
    """Return a jitted (params, x, y) -> Score that walks through the samples in batches."""

    @jax.jit
    def score(params: Params, x: Array, y: Array) -> Score:
        count, size = x.shape[0], min(batch, x.shape[0])
        pad = -count % size
        xs = jnp.pad(x, ((0, pad), *((0, 0),) * (x.ndim - 1))).reshape(-1, size, *x.shape[1:])
        ys = jnp.pad(y, (0, pad)).reshape(-1, size)
        scores = jax.lax.map(lambda xy: _score_batch(model, loss, params, *xy), (xs, ys))
        return Score(*(a.reshape(-1)[:count] for a in scores))

    return score


def _score_batch(model: Model, loss: Loss, params: Params, x: Array, y: Array) -> Score:
    logits = model.apply(params, x)
    return Score(loss(logits, y), logits.argmax(axis=-1) == y)


def client_accuracy(correct: np.ndarray, partition: Partition) -> np.ndarray:
    """Mean of `correct` over each client's samples; NaN for a client without samples."""
    sizes = np.array([len(indices) for indices in partition])
    owners = np.repeat(np.arange(len(partition)), sizes)
    hits = np.bincount(owners, correct[np.concatenate(partition)], len(partition))
    result: np.ndarray = np.divide(
        hits, sizes, out=np.full(len(partition), np.nan), where=sizes > 0
    )
    return result
