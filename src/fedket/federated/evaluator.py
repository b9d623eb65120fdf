"""What rounds are evaluated on: test and validation part, clients' own samples, probes."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from fedket.errors import TrainingError
from fedket.federated.averaging import MEAN_METRICS
from fedket.federated.evaluate import (
    ClientAccuracy,
    Evaluation,
    PersonalAccuracy,
    evaluation_batch,
    global_model,
    make_client_accuracy,
    make_own_accuracy,
    make_personal_accuracy,
    make_scorer,
    means,
    quality_of,
    scoring_rng,
    unknown_accuracy,
)
from fedket.federated.gossip import consensus_distance
from fedket.federated.gradients import make_gradient_meter, no_gradients
from fedket.federated.local import LocalTraining
from fedket.federated.placement import one_copy
from fedket.federated.trainer import TrainingData
from fedket.record import LayerGradient
from fedket.types import Dataset, Model, Params, ServerState, Strategy

Samples = tuple[Array, Array]
"""Features and labels."""


class Evaluator(NamedTuple):
    """What is measured of a model, or of clients' models.

    Attributes:
        evaluate: (params, ids of clients or None for all, round=0, state=None) -> Evaluation.
        of_own_models: (server state, ids, round, evaluated) -> what a round's record says of the
            clients' own models; nothing if they have none.
        probed: (params, server state) -> metrics of a round's record.
    """

    evaluate: Callable[..., Evaluation]
    of_own_models: Callable[[Any, np.ndarray | None, int, bool], dict[str, Any]]
    probed: Callable[[Params, ServerState], dict[str, float]]


def make_evaluator(
    model: Model,
    dataset: Dataset,
    strategy: Strategy,
    training: LocalTraining,
    data: TrainingData | None,
    *,
    num_clients: int,
    most: int,
    whole: bool,
    gradients: bool,
    seed: int,
    memory_limit_mb: int,
    dtype: str,
    probes: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> Evaluator:
    """Bind what evaluations need.

    Args:
        model: What is evaluated.
        dataset: Test and validation part.
        strategy: Says whether clients have models of their own.
        training: Its loss is measured, too.
        data: Clients' training samples; None if they are elsewhere.
        num_clients: All clients.
        most: Most clients that are evaluated on their samples at a time.
        whole: Whether the server has a whole model.
        gradients: As of `make_federation`.
        seed: As there.
        memory_limit_mb: As there.
        dtype: As there.
        probes: As there.
    """

    def samples(x: np.ndarray, y: np.ndarray) -> Samples:
        return jnp.asarray(x, dtype), jnp.asarray(y)

    test = samples(dataset.x_test, dataset.y_test)
    held_out: Samples | None = None
    if dataset.x_val is not None and dataset.y_val is not None:
        held_out = samples(dataset.x_val, dataset.y_val)
    probe_samples = {name: samples(*some) for name, some in probes.items()}
    batch = evaluation_batch(model, test[0], memory_limit_mb)
    scorer, own_accuracy = make_scorer(model, batch, training.loss), make_own_accuracy(model, batch)
    meter: Callable[[Params], Mapping[str, LayerGradient]] = no_gradients
    if gradients and len(test[1]) and whole:
        meter = make_gradient_meter(model, training.loss, *test, training.batch_size)
    accuracy: ClientAccuracy = unknown_accuracy
    personal_accuracy: PersonalAccuracy | None = None
    if data is not None and not dataset.regression:
        accuracy = make_client_accuracy(model, *data, most, batch)
        personal = strategy.memory and strategy.memory.personal
        if personal or model.own_network:
            personal_accuracy = make_personal_accuracy(
                model, personal or global_model, *data, batch
            )

    def evaluate(
        params: Params,
        clients: np.ndarray | None = None,
        round_num: int = 0,
        state: Any | None = None,
    ) -> Evaluation:
        if not len(test[1]):
            raise TrainingError("there are no test samples to evaluate on")
        ids = np.arange(num_clients) if clients is None else clients
        rngs = [scoring_rng(model, seed, round_num, part) for part in (0, 1)]
        found = validation = math.nan, math.nan
        quality = None
        if whole:
            score = scorer(params, *test, rngs[0])
            found, quality = means(score, test[1]), quality_of(score, test[1])
        if whole and held_out is not None:
            rng = scoring_rng(model, seed, round_num, 3)
            validation = means(scorer(params, *held_out, rng), held_out[1])
        if personal_accuracy is None or state is None:
            of_clients = accuracy(params, ids, rngs[1])
        else:
            server, memory = one_copy((state.server, state.clients.memory))
            sent = strategy.broadcast(server, params)
            of_clients = personal_accuracy(sent, memory, ids, rngs[1])
        return Evaluation(*found, of_clients, meter(params), *validation, quality)

    def of_own_models(
        models: Any, clients: np.ndarray | None, round_num: int, evaluated: bool
    ) -> dict[str, Any]:
        if not strategy.own_models:
            return {}
        distance = consensus_distance(models)
        ids = np.arange(num_clients) if clients is None else clients
        if not evaluated or not len(ids) or dataset.regression:
            return {"consensus_distance": distance}
        found = own_accuracy(models, ids, *test, scoring_rng(model, seed, round_num, 2))
        return {"consensus_distance": distance, "own_accuracy": np.asarray(found)}

    def probed(params: Params, server: ServerState) -> dict[str, float]:
        rng = scoring_rng(model, seed, 0)
        found = {n: means(scorer(params, *x, rng), x[1])[1] for n, x in probe_samples.items()}
        if whole and strategy.average is not None:
            mean = means(scorer(strategy.average(server), *test, rng), test[1])
            found |= dict(zip(MEAN_METRICS, mean, strict=True))
        return found

    return Evaluator(evaluate, of_own_models, probed)
