"""What both engines share: one client's part of a round, and the shape of a round's outcome."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from fedket.data.batches import PaddedClients, padded_rows
from fedket.errors import RoundLostError
from fedket.federated.local import LocalTraining, OptState, local_train
from fedket.rng import Purpose, purpose_rng
from fedket.traffic import Traffic
from fedket.types import (
    ClientResult,
    Contribution,
    Model,
    Params,
    Reducer,
    RoundContext,
    ServerState,
    Strategy,
)

NON_FINITE = "update is not finite (NaN or infinity)"


class ClientTrainer(NamedTuple):
    """How a client trains: everything a compiled round is made from, but for seed and data.

    It is bound to programs, see `fedket.federated.program`: its numbers are arguments of them.

    Attributes:
        model: What is trained.
        strategy: What is made of the result.
        training: Local training.
        length: Samples that every client is padded to.
    """

    model: Model
    strategy: Strategy
    training: LocalTraining
    length: int


class ClientOutcome(NamedTuple):
    """One client's part of a round (or several, with a leading axis).

    Attributes:
        contribution: For the reducer; zero where the weight is zero.
        opt_state: Optimiser state after training.
        loss: Mean local training loss.
        finite: Whether every number of the trained model, and measured on it, is finite.
    """

    contribution: Contribution
    opt_state: OptState
    loss: Float[Array, "*clients"]
    finite: Bool[Array, "*clients"]


class CohortOutcome(NamedTuple):
    """What a round changes, what it cost, and what the strategy has to report."""

    params: Params
    server: ServerState
    clients: Any
    train_loss: float
    dropped: dict[int, str]
    traffic: Traffic
    metrics: dict[str, float]


def everybody(cohort: np.ndarray, round_num: int) -> tuple[np.ndarray, dict[int, str]]:  # noqa: ARG001
    """Attendance where nobody can be away."""
    return cohort, {}


class Engine(NamedTuple):
    """How a round is executed.

    Attributes:
        run: (params, server state, client states, cohort, round) -> outcome. Raises `ProtocolError`
            when the round is lost: no sum could be opened.
        attend: (cohort as drawn, round) -> those of it who take part, and why the others do not.
    """

    run: Callable[[Params, ServerState, Any, np.ndarray, int], CohortOutcome]
    attend: Callable[[np.ndarray, int], tuple[np.ndarray, dict[int, str]]] = everybody


class TrainingData(NamedTuple):
    """The arrays a compiled round reads: samples, and who holds which."""

    x: Float[Array, "samples *features"]
    y: Int[Array, " samples"]
    clients: PaddedClients


MakeEngine = Callable[[ClientTrainer, TrainingData, int, Reducer | None, int, int], Engine]
"""(trainer, data, seed, reducer or None for a floating-point sum, clients per round, bound of the
working set in MiB) -> how rounds of such a federation are executed."""


class RoundRngs(NamedTuple):
    """Keys of a round that clients fold their ids into: for training, and for measuring after."""

    train: PRNGKeyArray
    measure: PRNGKeyArray


@jax.jit
def round_rngs(root: PRNGKeyArray, round_num: Int[Array, ""] | int) -> RoundRngs:
    """Keys of a round; `root` is the key made of the seed alone."""
    purposes = Purpose.TRAIN, Purpose.MEASURE
    return RoundRngs(*(purpose_rng(root, purpose, round_num) for purpose in purposes))


def train_client(
    trainer: ClientTrainer,
    data: TrainingData,
    params: Params,
    opt_state: OptState,
    client: Int[Array, ""],
    weight: Float[Array, ""],
    rngs: RoundRngs,
) -> ClientOutcome:
    """Train one client and form its contribution; traceable.

    Args:
        trainer: Model and algorithm.
        data: All samples and who holds them.
        params: The global model.
        opt_state: The client's optimiser state; () means start afresh.
        client: Client id.
        weight: Its share of the cohort's samples; 0 leaves it out.
        rngs: The round's keys.
    """
    model, strategy, training, length = trainer
    if model.at_client is not None:
        model = model.at_client(client)
    rows, mask = padded_rows(data.clients, client, length)
    if not training.persistent:
        opt_state = training.optimizer.init(params)
    rng = jax.random.fold_in(rngs.train, client)
    mu = strategy.proximal_mu
    result = local_train(model, training, mu, params, opt_state, data.x, data.y, rows, mask, rng)
    measured = None
    if strategy.measure is not None:
        measure_rng = jax.random.fold_in(rngs.measure, client)
        own = data.x[rows], data.y[rows], mask
        measured = strategy.measure(model, result.params, *own, measure_rng)
    finite = all_finite((result.params, measured)) & jnp.isfinite(result.loss)
    contribution = strategy.contribute(params, ClientResult(result.params, weight, measured))
    contribution = jax.tree.map(lambda leaf: jnp.where(weight > 0, leaf, 0), contribution)
    return ClientOutcome(contribution, result.opt_state, result.loss, finite)


def server_step(
    strategy: Strategy, server: ServerState, params: Params, total: Contribution
) -> tuple[ServerState, Params, dict[str, Float[Array, ""]]]:
    """Apply the sum and report on it; traceable."""
    server, params = strategy.apply(server, params, total)
    return server, params, strategy.metrics(total)


def as_numbers(metrics: dict[str, Array]) -> dict[str, float]:
    """Metrics as Python numbers."""
    return {name: float(value) for name, value in metrics.items()}


def all_finite(tree: Any) -> Bool[Array, ""]:
    """Whether every entry of every leaf is finite."""
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()


def cohort_weights(num_samples: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """Shares of the samples among the clients that are alive, float32, summing to 1."""
    counts = np.where(alive, num_samples, 0).astype(np.float64)
    weights: np.ndarray = (counts / counts.sum()).astype(np.float32)
    return weights


def round_context(
    trainer: ClientTrainer, seed: int, round_num: int, ids: np.ndarray, weights: np.ndarray
) -> RoundContext:
    """What a reducer is told of a round; ids ascending."""
    bounds = trainer.strategy.bounds
    return RoundContext(seed, round_num, tuple(ids.tolist()), tuple(weights.tolist()), bounds)


def nobody_left(round_num: int, reasons: dict[int, str]) -> RoundLostError:
    """Why a round is lost to which no client contributes anything finite."""
    return RoundLostError(
        f"round {round_num}: none of {len(reasons)} clients delivered a finite update; "
        "lower the learning rate or look at the data",
        reasons,
    )


def select_clients(states: Any, ids: Array | np.ndarray | int) -> Any:
    """Rows of the client states for some clients."""
    return jax.tree.map(lambda leaf: leaf[ids], states)


def tree_bytes(tree: Any) -> int:
    """Bytes of all leaves."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def tree_size(tree: Any) -> int:
    """Number of values in all leaves."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def contribution_size(strategy: Strategy, params: Params) -> int:
    """Number of values that a client contributes; nothing is computed."""
    one = jax.eval_shape(lambda p: strategy.contribute(p, ClientResult(p, jnp.ones(()), p)), params)
    return tree_size(one)
