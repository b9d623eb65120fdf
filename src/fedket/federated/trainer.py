"""What both engines share: one client's part of a round, and the shape of a round's outcome."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray

from fedket.data.batches import PaddedClients, padded_rows
from fedket.errors import RoundLostError
from fedket.federated.local import LocalTraining, OptState, local_train
from fedket.federated.program import Number
from fedket.record import ClientDrift
from fedket.rng import Purpose, purpose_rng
from fedket.traffic import Traffic
from fedket.types import (
    Broadcast,
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
        drift: Whether updates are compared with their mean.
    """

    model: Model
    strategy: Strategy
    training: LocalTraining
    length: int
    drift: bool = False


class Kept(NamedTuple):
    """What a client keeps from one of its rounds to its next (or several, with a leading axis).

    Attributes:
        optimizer: State of its optimiser; () if training starts afresh in every round.
        memory: Of the strategy; () if it has none.
    """

    optimizer: OptState = ()
    memory: Any = ()


def kept_at_first(trainer: ClientTrainer, params: Params) -> Kept:
    """What a client has before its first round."""
    memory, training = trainer.strategy.memory, trainer.training
    return Kept(
        training.optimizer.init(params) if training.persistent else (),
        () if memory is None else memory.init(params),
    )


class ClientOutcome(NamedTuple):
    """One client's part of a round (or several, with a leading axis).

    Attributes:
        contribution: For the reducer; zero where the weight is zero.
        kept: What the client keeps for its next round.
        loss: Mean local training loss.
        finite: Whether every number of the trained model, measured on it, and remembered of it, is
            finite.
        update: Trained parameters minus those that training began from; () unless asked for.
    """

    contribution: Contribution
    kept: Kept
    loss: Float[Array, "*clients"]
    finite: Bool[Array, "*clients"]
    update: Params = ()


class CohortOutcome(NamedTuple):
    """What a round changes, what it cost, and what the strategy has to report.

    `train_loss` is None where clients do not tell; `drift` is empty unless asked for.
    """

    params: Params
    server: ServerState
    clients: Any
    train_loss: float | None
    dropped: dict[int, str]
    traffic: Traffic
    metrics: dict[str, float]
    drift: Mapping[int, ClientDrift] = {}


class Attendance(NamedTuple):
    """Who takes part in a round.

    Attributes:
        cohort: Those who do, in ascending order.
        absent: Who else was to -> why not.
        simulated_s: Seconds that the round takes where a clock is simulated, else None.
        staleness: Client -> by how many rounds the model is old that it trained.
    """

    cohort: np.ndarray
    absent: dict[int, str]
    simulated_s: float | None = None
    staleness: Mapping[int, int] = {}


def everybody(cohort: np.ndarray, round_num: int) -> Attendance:  # noqa: ARG001
    """Attendance where nobody can be away."""
    return Attendance(cohort, {})


class Engine(NamedTuple):
    """How a round is executed.

    Attributes:
        run: (params, server state, client states, cohort, round) -> outcome. Raises `ProtocolError`
            when the round is lost: no sum could be opened.
        attend: (cohort as drawn, round) -> who takes part.
        clients: What the state holds of the clients before the first round, of an engine whose
            clients keep the rest themselves.
    """

    run: Callable[[Params, ServerState, Any, np.ndarray, int], CohortOutcome]
    attend: Callable[[np.ndarray, int], Attendance] = everybody
    clients: Any = ()


class TrainingData(NamedTuple):
    """The arrays a compiled round reads: samples, and who holds which."""

    x: Float[Array, "samples *features"]
    y: Num[Array, " samples"]
    clients: PaddedClients


MakeEngine = Callable[[ClientTrainer, TrainingData, int, Reducer | None, int, int], Engine]
"""(trainer, data, seed, reducer or None for a floating-point sum, clients per round, bound of the
working set in MiB) -> how rounds of such a federation are executed."""


class RoundRngs(NamedTuple):
    """Keys of a round that clients fold their ids into: for training, and for measuring after.

    `number` is the round, from 1.
    """

    train: PRNGKeyArray
    measure: PRNGKeyArray
    number: Int[Array, ""]


@jax.jit
def round_rngs(root: PRNGKeyArray, round_num: Int[Array, ""] | int) -> RoundRngs:
    """Keys of a round; `root` is the key made of the seed alone."""
    train, measure = (purpose_rng(root, p, round_num) for p in (Purpose.TRAIN, Purpose.MEASURE))
    return RoundRngs(train, measure, jnp.asarray(round_num))


def train_client(
    trainer: ClientTrainer,
    data: TrainingData,
    received: Broadcast,
    kept: Kept,
    client: Int[Array, ""],
    weight: Float[Array, ""],
    rngs: RoundRngs,
) -> ClientOutcome:
    """Train one client and form its contribution; traceable.

    Args:
        trainer: Model and algorithm.
        data: All samples and who holds them.
        received: The global model, and what the strategy sends beside it.
        kept: What the client kept of its last round.
        client: Client id.
        weight: Its share of the cohort's samples; 0 leaves it out.
        rngs: The round's keys.
    """
    model, strategy, training, length, drift = trainer
    training = training.in_round(rngs.number)
    if model.at_client is not None:
        model = model.at_client(client)
    rows, mask = padded_rows(data.clients, client, length)
    if strategy.at_client is not None:
        received, weight = strategy.at_client(received, client, weight)
    params, memory = received.params, strategy.memory
    if strategy.own_models:
        params = select_clients(params, client)
    shared = params
    if memory is not None and memory.start is not None:
        params = memory.start(received, kept.memory)
    opt_state = kept.optimizer if training.persistent else training.optimizer.init(params)
    rng = jax.random.fold_in(rngs.train, client)
    samples = data.x, data.y, rows, mask, rng
    extra: tuple[Any, ...] = ()
    if memory is not None:
        correct = memory.correct and partial(memory.correct, received, kept.memory)
        extra = correct, memory.mean_gradient
    mu = strategy.proximal_mu
    trained = local_train(model, training, mu, params, opt_state, *samples, *extra)
    measured = None
    if strategy.measure is not None:
        measure_rng = jax.random.fold_in(rngs.measure, client)
        own = data.x[rows], data.y[rows], mask
        measured = strategy.measure(model, trained.params, *own, measure_rng)
    result = ClientResult(
        trained.params,
        weight,
        measured,
        trained.steps,
        trained.gradient,
        kept.memory,
        received.extra,
    )

    def retrain(start: Params, mu: Number) -> Params:
        fresh = training.optimizer.init(start)
        return local_train(model, training, mu, start, fresh, *samples, anchor=params).params

    keeps = Kept(
        trained.opt_state if training.persistent else (),
        () if memory is None else memory.update(received, result, retrain),
    )
    finite = all_finite((trained.params, measured, keeps.memory)) & jnp.isfinite(trained.loss)
    contribution = strategy.contribute(shared, result)
    contribution = jax.tree.map(lambda leaf: jnp.where(weight > 0, leaf, 0), contribution)
    update = jax.tree.map(jnp.subtract, trained.params, params) if drift else ()
    return ClientOutcome(contribution, keeps, trained.loss, finite, update)


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
    trainer: ClientTrainer,
    server: ServerState,
    seed: int,
    round_num: int,
    ids: np.ndarray,
    weights: np.ndarray,
) -> RoundContext:
    """What a reducer is told of a round; ids ascending."""
    recall, bounds = trainer.strategy.recall, trainer.strategy.bounds
    last = None if recall is None else recall(server)
    clients, shares = tuple(ids.tolist()), tuple(weights.tolist())
    return RoundContext(seed, round_num, clients, shares, bounds, last=last)


def nobody_left(round_num: int, reasons: dict[int, str]) -> RoundLostError:
    """Why a round is lost to which no client contributes anything finite."""
    return RoundLostError(
        f"round {round_num}: none of {len(reasons)} clients delivered a finite update; "
        "lower the learning rate or look at the data",
        reasons,
    )


def restore_clients(before: Kept, after: Kept, ids: Int[Array | np.ndarray, " clients"]) -> Kept:
    """Give clients back the memory that they had; ids that are no client's change nothing."""
    memory = jax.tree.map(
        lambda old, new: new.at[ids].set(old.at[ids].get(mode="clip"), mode="drop"),
        before.memory,
        after.memory,
    )
    return after._replace(memory=memory)


def select_clients(states: Any, ids: Array | np.ndarray | int) -> Any:
    """Rows of the client states for some clients."""
    return jax.tree.map(lambda leaf: leaf[ids], states)


def tree_bytes(tree: Any) -> int:
    """Bytes of all leaves."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def tree_size(tree: Any) -> int:
    """Number of values in all leaves."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def contribution_shape(strategy: Strategy, params: Params) -> Contribution:
    """Shapes and types of a client's contribution; nothing is computed."""
    memory = strategy.memory

    def contribute(p: Params) -> Contribution:
        sent = Broadcast(p) if strategy.own_models else strategy.broadcast(strategy.init(p), p)
        measured = sent.params if strategy.measure else None
        one, kept = jnp.ones(()), () if memory is None else memory.init(p)
        result = ClientResult(p, one, measured, one, p, kept, sent.extra)
        return strategy.contribute(sent.params, result)

    return jax.eval_shape(contribute, params)


def broadcast_shape(strategy: Strategy, params: Params) -> Broadcast:
    """Shapes and types of what a client is sent."""
    sent: Broadcast = jax.eval_shape(lambda p: strategy.broadcast(strategy.init(p), p), params)
    return sent
