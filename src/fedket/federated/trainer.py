"""What both engines share: one client's part of a round, and the shape of a round's outcome."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from fedket.data import PaddedClients, gather_padded
from fedket.federated.local import LocalTraining, OptState, local_train
from fedket.rng import Purpose, rng_for
from fedket.types import (
    ClientResult,
    Contribution,
    Model,
    Params,
    ServerState,
    Strategy,
    Traffic,
)

NON_FINITE = "update is not finite (NaN or infinity)"


class Trainer(NamedTuple):
    """Everything local training needs, data included."""

    model: Model
    strategy: Strategy
    training: LocalTraining
    x: Float[Array, "samples *features"]
    y: Int[Array, " samples"]
    clients: PaddedClients
    seed: int


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
        num_compilations: () -> number of compiled training programs.
        attend: (cohort as drawn, round) -> those of it who take part, and why the others do not.
    """

    run: Callable[[Params, ServerState, Any, np.ndarray, int], CohortOutcome]
    num_compilations: Callable[[], int]
    attend: Callable[[np.ndarray, int], tuple[np.ndarray, dict[int, str]]] = everybody


class TrainingData(NamedTuple):
    """The arrays a compiled round reads, passed as arguments so that none becomes a constant."""

    x: Float[Array, "samples *features"]
    y: Int[Array, " samples"]
    indices: Int[Array, " total"]
    offsets: Int[Array, " bounds"]
    num_samples: Int[Array, " clients"]


def training_data(trainer: Trainer) -> TrainingData:
    """Put the trainer's arrays on the device."""
    packed = trainer.clients
    return TrainingData(
        trainer.x,
        trainer.y,
        jnp.asarray(packed.indices),
        jnp.asarray(packed.offsets),
        jnp.asarray(packed.num_samples),
    )


def train_client(
    trainer: Trainer,
    data: TrainingData,
    params: Params,
    opt_state: OptState,
    client: Int[Array, ""],
    weight: Float[Array, ""],
    round_num: Int[Array, ""],
) -> ClientOutcome:
    """Train one client and form its contribution; traceable.

    Args:
        trainer: Model, algorithm and seed.
        data: All samples and who holds them.
        params: The global model.
        opt_state: The client's optimiser state; () means start afresh.
        client: Client id.
        weight: Its share of the cohort's samples; 0 leaves it out.
        round_num: Round number.
    """
    packed = PaddedClients(
        data.indices, data.offsets, data.num_samples, trainer.clients.max_samples
    )
    x, y, mask = (a[0] for a in gather_padded(data.x, data.y, packed, client[None]))
    if not trainer.training.persistent:
        opt_state = trainer.training.optimizer.init(params)
    rng = rng_for(trainer.seed, Purpose.TRAIN, round_num, client)
    result = local_train(
        trainer.model,
        trainer.training,
        trainer.strategy.proximal_mu,
        params,
        opt_state,
        x,
        y,
        mask,
        rng,
    )
    measured = None
    if trainer.strategy.measure is not None:
        measure_rng = rng_for(trainer.seed, Purpose.MEASURE, round_num, client)
        measured = trainer.strategy.measure(trainer.model, result.params, x, y, mask, measure_rng)
    finite = all_finite((result.params, measured)) & jnp.isfinite(result.loss)
    contribution = trainer.strategy.contribute(
        params, ClientResult(result.params, weight, measured)
    )
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


def select_clients(states: Any, ids: Array | int) -> Any:
    """Rows of the client states for some clients."""
    return jax.tree.map(lambda leaf: leaf[ids], states)


def tree_bytes(tree: Any) -> int:
    """Bytes of all leaves."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def tree_size(tree: Any) -> int:
    """Number of values in all leaves."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def compilations(jitted: Any) -> int:
    """How many programs a jitted function has compiled."""
    return int(jitted._cache_size())
