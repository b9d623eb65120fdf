"""Loss and accuracy on test set and clients' samples, of the global model or of clients' own."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from fedket.data.batches import PaddedClients, padded_rows, shared_length
from fedket.federated.losses import Loss, cross_entropy
from fedket.federated.metrics import classification_quality, regression_quality
from fedket.federated.program import Program
from fedket.federated.working_set import traced_bytes
from fedket.record import LayerGradient, Quality
from fedket.rng import Purpose, Rng, rng_for
from fedket.types import Broadcast, Model, Params

EVAL_BATCH = 512
"""Samples per evaluation batch; more than 2**n for small circuits, which then cost one GEMM."""

EvaluatedClients = Literal["cohort", "all", "none"]
"""On whose own samples the global model is evaluated, beside the test set."""


class Score(NamedTuple):
    """Per-sample outcome: the loss, whether the largest logit is the label's, and the logits."""

    loss: Float[Array, " samples"]
    correct: Bool[Array, " samples"]
    logits: Float[Array, "samples classes"]


def means(score: Score, y: Array) -> tuple[float, float]:
    """Mean loss, and accuracy on labels `y`; NaN where they are no classes."""
    loss = float(np.asarray(score.loss).mean())
    return loss, float(np.asarray(score.correct).mean()) if are_classes(y) else math.nan


def are_classes(y: Array | np.ndarray) -> bool:
    """Whether labels name classes."""
    return bool(np.issubdtype(y.dtype, np.integer))


class Evaluation(NamedTuple):
    """The global model after a round.

    Attributes:
        test_loss: Mean loss on the test set, the loss being that of training; NaN if the server
            has only a part of the model.
        test_accuracy: Share of the test set classified correctly; NaN likewise.
        client_accuracy: The same on the training samples of each client that was asked for, in
            the order of their ids, by its own model if the strategy gives it one; NaN for one
            without samples.
        gradients: Of the mean test loss, by layer; empty unless asked for.
        validation_loss: As on the test set, on the validation split; NaN without one.
        validation_accuracy: Likewise.
        quality: What the predictions on the test set are worth; None with a part of the model.
    """

    test_loss: float
    test_accuracy: float
    client_accuracy: np.ndarray
    gradients: Mapping[str, LayerGradient] = {}
    validation_loss: float = math.nan
    validation_accuracy: float = math.nan
    quality: Quality | None = None


def evaluation_batch(model: Model, x: Array, memory_limit_mb: int) -> int:
    """Return the largest power of two up to `EVAL_BATCH` whose traced working set fits the limit.

    Args:
        model: The model.
        x: Samples, for their shape and type.
        memory_limit_mb: Limit in MiB; a single sample may exceed it.
    """
    params = jax.eval_shape(lambda: model.init(jax.random.key(0)))
    logits = Program(_logits, _functions(model))
    batch = EVAL_BATCH
    while batch > 1:
        some = jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype)
        if traced_bytes(logits, params, some) <= memory_limit_mb * 2**20:
            break
        batch //= 2
    return batch


Functions = tuple[Callable[..., Array], Callable[..., Array] | None, bool]
"""A model's `apply` and `evaluate`, and whether all samples share what is drawn."""


def _functions(model: Model) -> Functions:
    return model.apply, model.evaluate, bool(model.shots) and model.shots.shared


def _logits(functions: Functions, params: Params, x: Array, rng: Rng | None = None) -> Array:
    apply, evaluate, _ = functions
    if evaluate is None:
        return apply(params, x)
    return evaluate(params, x, jax.random.key(0) if rng is None else rng)


def _drawn(functions: Functions, rng: Rng | None, batch: Int[Array, ""]) -> Rng | None:
    """What decides the shots of a batch."""
    shared = functions[2]
    return rng if rng is None or shared else jax.random.fold_in(rng, batch)


def make_scorer(model: Model, batch: int = EVAL_BATCH, loss: Loss = cross_entropy) -> Program:
    """Return a program (params, x, y, rng) -> Score that walks through the samples in batches.

    All batches have one size, so that a sample's score does not depend on what follows it. `rng` is
    of `scoring_rng`.
    """
    return Program(_score, (_functions(model), loss, batch))


def quality_of(score: Score, y: Array) -> Quality:
    """What predictions of samples with labels `y` are worth beyond that."""
    quality = classification_quality if are_classes(y) else regression_quality
    return quality(np.asarray(score.logits), np.asarray(y))


def scoring_rng(model: Model, seed: int, round_num: int, client_id: int = 0) -> Rng | None:
    """What decides the shots of an evaluation; None for a model that is evaluated exactly.

    A site's are of its id; of a simulation's, 0 stands for the test set and 1 for clients' samples.
    """
    if model.evaluate is None:
        return None
    return rng_for(seed, Purpose.EVALUATE, round_num, client_id)


def make_own_accuracy(model: Model, batch: int = EVAL_BATCH) -> Program:
    """Return a program (stacked models, ids, x, y, rng) -> accuracy of those clients' own models.

    Arguments but for the first two as of `make_scorer`.
    """
    return Program(_own_accuracy, (_functions(model), cross_entropy, batch))


def _own_accuracy(
    bound: tuple[Functions, Loss, int],
    models: Params,
    ids: Int[Array, " some"],
    x: Array,
    y: Array,
    rng: Rng | None,
) -> Float[Array, " some"]:
    def one(client: Int[Array, ""]) -> Float[Array, ""]:
        own = jax.tree.map(lambda leaf: leaf[client], models)
        return _score(bound, own, x, y, rng).correct.mean()

    accuracy: Array = jax.lax.map(one, ids)
    return accuracy


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
        logits = _logits(functions, params, some, _drawn(functions, rng, number))
        return Score(loss(logits, labels), logits.argmax(axis=-1) == labels, logits)

    numbered = jnp.arange(len(xs)), xs, ys
    scores = jax.lax.map(of_batch, numbered)
    return Score(*(a.reshape(-1, *a.shape[2:])[:count] for a in scores))


ClientAccuracy = Callable[[Params, np.ndarray, Rng | None], np.ndarray]
"""(params, ids of clients, rng of `scoring_rng`) -> accuracy on each one's own samples; NaN for one
without samples."""


def make_client_accuracy(
    model: Model, x: Array, y: Array, clients: PaddedClients, most: int, batch: int = EVAL_BATCH
) -> ClientAccuracy:
    """Return a function that scores the samples of some clients, back to back, and no others.

    Args:
        model: The model.
        x: Samples of all clients.
        y: Their labels.
        clients: Who holds which.
        most: Clients scored by one call of the program, whose shapes it decides; more take more.
        batch: Samples per batch.
    """
    indices, offsets, num_samples = (np.asarray(array) for array in clients[:3])
    capacity = min(len(indices), most * shared_length(num_samples))
    places = -(-capacity // batch) * batch
    program = Program(_hits, _functions(model))

    def of_some(params: Params, ids: np.ndarray, rng: Rng | None) -> np.ndarray:
        sizes = num_samples[ids]
        ends = np.cumsum(sizes)
        total = int(ends[-1])
        held = indices[np.arange(total) + np.repeat(offsets[ids] - (ends - sizes), sizes)]
        rows = np.pad(held, (0, places - total)).reshape(-1, batch)
        correct = program(params, x, y, rows, np.int32(-(-total // batch)), rng)
        owners = np.repeat(np.arange(len(ids)), sizes)
        hits = np.bincount(owners, np.asarray(correct).ravel()[:total], len(ids))
        result: np.ndarray = np.divide(hits, sizes, out=np.full(len(ids), np.nan), where=sizes > 0)
        return result

    def accuracy(params: Params, ids: np.ndarray, rng: Rng | None) -> np.ndarray:
        parts = [np.zeros(0)]
        for start in range(0, len(ids), most):
            own = None if rng is None else jax.random.fold_in(rng, start)
            parts.append(of_some(params, ids[start : start + most], own))
        return np.concatenate(parts)

    return accuracy


def unknown_accuracy(params: Params, ids: np.ndarray, rng: Rng | None) -> np.ndarray:  # noqa: ARG001
    """Accuracy of clients whose samples are not here."""
    return np.zeros(0)


def network_of(model: Model, client: Int[Array, ""]) -> Model:
    """What classifies a client's own samples."""
    return model.at_client(client) if model.own_network and model.at_client else model


def global_model(sent: Broadcast, memory: Any) -> Params:  # noqa: ARG001
    """The parameters of a client without a model of its own."""
    return sent.params


PersonalAccuracy = Callable[[Broadcast, Any, np.ndarray, Rng | None], np.ndarray]
"""(broadcast, memories of all clients, ids, rng) -> accuracy of each one's own model on its own
samples."""


def make_personal_accuracy(
    model: Model,
    personal: Callable[[Broadcast, Any], Params],
    x: Array,
    y: Array,
    clients: PaddedClients,
    batch: int = EVAL_BATCH,
) -> PersonalAccuracy:
    """Return a function that scores clients' own models, one client after the other.

    Args:
        model: The model.
        personal: See `ClientMemory.personal`.
        x: Samples of all clients.
        y: Their labels.
        clients: Who holds which.
        batch: Samples per batch, at most.
    """
    num_samples = np.asarray(clients.num_samples)
    length = shared_length(num_samples)
    size = min(batch, length)
    program = Program(_personal_hits, (personal, model, length, size))

    def accuracy(sent: Broadcast, memories: Any, ids: np.ndarray, rng: Rng | None) -> np.ndarray:
        hits = program(sent, memories, x, y, clients, np.asarray(ids, np.int32), rng)
        sizes = num_samples[ids]
        result: np.ndarray = np.divide(hits, sizes, out=np.full(len(ids), np.nan), where=sizes > 0)
        return result

    return accuracy


def _personal_hits(
    bound: tuple[Callable[[Broadcast, Any], Params], Model, int, int],
    sent: Broadcast,
    memories: Any,
    x: Array,
    y: Array,
    clients: PaddedClients,
    ids: Int[Array, " cohort"],
    rng: Rng | None,
) -> Int[Array, " cohort"]:
    """How many of its own samples each client's own model classifies correctly."""
    personal, model, length, size = bound

    def of_client(client: Int[Array, ""]) -> Int[Array, ""]:
        rows, mask = padded_rows(clients, client, length)
        params = personal(sent, jax.tree.map(lambda leaf: leaf[client], memories))
        functions = _functions(network_of(model, client))
        batches = jnp.pad(rows, (0, -length % size)).reshape(-1, size)
        number = -(-clients.num_samples[client] // size)
        own = None if rng is None else jax.random.fold_in(rng, client)
        correct = _hits(functions, params, x, y, batches, number, own).ravel()[:length]
        return jnp.sum(correct & mask)

    counts: Array = jax.lax.map(of_client, ids)
    return counts


def _hits(
    functions: Functions,
    params: Params,
    x: Array,
    y: Array,
    rows: Int[Array, "batches batch"],
    num_batches: Int[Array, ""],
    rng: Rng | None,
) -> Bool[Array, "batches batch"]:
    """Whether the samples of the first batches of rows are classified correctly."""

    def step(b: Int[Array, ""], correct: Bool[Array, "batches batch"]) -> Any:
        logits = _logits(functions, params, x[rows[b]], _drawn(functions, rng, b))
        return correct.at[b].set(logits.argmax(axis=-1) == y[rows[b]])

    correct: Array = jax.lax.fori_loop(0, num_batches, step, jnp.zeros(rows.shape, bool))
    return correct
