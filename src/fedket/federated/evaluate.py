"""Loss and accuracy of the global model, on the test set and on every client's own samples."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from fedket.federated.losses import Loss, cross_entropy
from fedket.federated.program import Program
from fedket.federated.working_set import traced_bytes
from fedket.rng import Purpose, Rng, rng_for
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
    logits = Program(_logits, (model.apply, model.evaluate))
    batch = EVAL_BATCH
    while batch > 1:
        some = jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype)
        if traced_bytes(logits, params, some) <= memory_limit_mb * 2**20:
            break
        batch //= 2
    return batch


Functions = tuple[Callable[..., Array], Callable[..., Array] | None]
"""A model's `apply` and `evaluate`."""


def _logits(functions: Functions, params: Params, x: Array, rng: Rng | None = None) -> Array:
    apply, evaluate = functions
    if evaluate is None:
        return apply(params, x)
    return evaluate(params, x, jax.random.key(0) if rng is None else rng)


def make_scorer(model: Model, batch: int = EVAL_BATCH, loss: Loss = cross_entropy) -> Program:
    """Return a program (params, x, y, rng) -> Score that walks through the samples in batches.

    All batches have one size, so that a sample's score does not depend on what follows it. `rng` is
    of `scoring_rng`.
    """
    return Program(_score, ((model.apply, model.evaluate), loss, batch))


def scoring_rng(model: Model, seed: int, round_num: int, client_id: int = 0) -> Rng | None:
    """What decides the shots of an evaluation; None for a model that is evaluated exactly."""
    if model.evaluate is None:
        return None
    return rng_for(seed, Purpose.EVALUATE, round_num, client_id)


def _score(
    bound: tuple[Functions, Loss, int], params: Params, x: Array, y: Array, rng: Rng | None
) -> Score:
    functions, loss, batch = bound
    count = x.shape[0]
    pad = -count % batch
    xs = jnp.pad(x, ((0, pad), *((0, 0),) * (x.ndim - 1))).reshape(-1, batch, *x.shape[1:])
    ys = jnp.pad(y, (0, pad)).reshape(-1, batch)

    def of_batch(batch: tuple[Array, Array, Array]) -> Score:
        number, some, labels = batch
        drawn = None if rng is None else jax.random.fold_in(rng, number)
        logits = _logits(functions, params, some, drawn)
        return Score(loss(logits, labels), logits.argmax(axis=-1) == labels)

    numbered = jnp.arange(len(xs)), xs, ys
    return Score(*(a.reshape(-1)[:count] for a in jax.lax.map(of_batch, numbered)))


def client_accuracy(correct: np.ndarray, partition: Partition) -> np.ndarray:
    """Mean of `correct` over each client's samples; NaN for a client without samples."""
    sizes = np.array([len(indices) for indices in partition])
    owners = np.repeat(np.arange(len(partition)), sizes)
    hits = np.bincount(owners, correct[np.concatenate(partition)], len(partition))
    result: np.ndarray = np.divide(
        hits, sizes, out=np.full(len(partition), np.nan), where=sizes > 0
    )
    return result
