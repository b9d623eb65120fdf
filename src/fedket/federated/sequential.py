"""The debug engine: one client at a time, every stage checked and named when it fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fedket.errors import FedketError, TrainingError
from fedket.federated.drift import drift_by_client, measure_drift
from fedket.federated.program import Program
from fedket.federated.trainer import (
    NON_FINITE,
    ClientOutcome,
    ClientTrainer,
    CohortOutcome,
    Engine,
    Kept,
    TrainingData,
    as_numbers,
    cohort_weights,
    nobody_left,
    restore_clients,
    round_context,
    round_rngs,
    select_clients,
    server_step,
    train_client,
    tree_bytes,
)
from fedket.traffic import Traffic
from fedket.types import Broadcast, Params, Reducer, RoundContext, ServerState, Strategy


def sequential_engine(
    trainer: ClientTrainer,
    data: TrainingData,
    seed: int,
    reducer: Reducer | None,
    cohort_size: int,  # noqa: ARG001 - the same signature as the vectorised engine
    memory_limit_mb: int,  # noqa: ARG001
) -> Engine:
    """Build the engine. Contributions are added in ascending order of client ids."""
    program = Program(train_client, trainer)
    broadcast = Program(_broadcast, trainer.strategy)
    apply_sum = Program(server_step, trainer.strategy)
    root = jax.random.key(seed)
    num_samples = np.asarray(data.clients.num_samples)

    def train(
        sent: Broadcast, clients: Kept, client: int, weight: np.float32, round_num: int
    ) -> ClientOutcome:
        kept = select_clients(clients, client)
        with _stage("training", round_num, client):
            outcome: ClientOutcome = program(
                data, sent, kept, jnp.int32(client), weight, round_rngs(root, round_num)
            )
            jax.block_until_ready(outcome)
        return outcome

    def run(
        params: Params, server: ServerState, clients: Kept, cohort: np.ndarray, round_num: int
    ) -> CohortOutcome:
        alive = np.ones(len(cohort), dtype=bool)
        outcomes: dict[int, ClientOutcome] = {}
        reasons: dict[int, str] = {}
        weights = cohort_weights(num_samples[cohort], alive)
        sent = broadcast(server, params)
        for row, client in enumerate(cohort.tolist()):
            outcomes[row] = train(sent, clients, client, weights[row], round_num)
            if not outcomes[row].finite:
                alive[row] = False
                reasons[client] = f"{NON_FINITE}, first in {_first_broken(outcomes[row])}"
        if not alive.any():
            raise nobody_left(round_num, reasons)
        if not alive.all():
            weights = cohort_weights(num_samples[cohort], alive)
            for row in np.flatnonzero(alive).tolist():
                client = int(cohort[row])
                outcomes[row] = train(sent, clients, client, weights[row], round_num)
        rows = np.flatnonzero(alive).tolist()
        context = round_context(trainer, server, seed, round_num, cohort[rows], weights[rows])
        with _stage("aggregation", round_num):
            total, traffic = _reduce([outcomes[r] for r in rows], reducer, context)
        with _stage("the server step", round_num):
            new_server, new_params, metrics = apply_sum(server, params, total)
        after = clients
        for row in rows:
            after = jax.tree.map(
                lambda old, new, client=int(cohort[row]): old.at[client].set(new),
                after,
                outcomes[row].kept,
            )
        if traffic.missing:
            after = restore_clients(clients, after, np.array(sorted(traffic.missing)))
        loss = float(sum(weights[r] * float(outcomes[r].loss) for r in rows))
        drift = None
        if trainer.drift:
            stacked = jax.tree.map(lambda *one: jnp.stack(one), *(outcomes[r].update for r in rows))
            drift = measure_drift(stacked, weights[rows], np.ones(len(rows), bool))
        apart, numbers = drift_by_client(drift, cohort[rows]), as_numbers(metrics)
        return CohortOutcome(new_params, new_server, after, loss, reasons, traffic, numbers, apart)

    return Engine(run)


def _broadcast(strategy: Strategy, server: ServerState, params: Params) -> Broadcast:
    return strategy.broadcast(server, params)


def _reduce(
    outcomes: list[ClientOutcome], reducer: Reducer | None, context: RoundContext
) -> tuple[Any, Traffic]:
    contributions = [outcome.contribution for outcome in outcomes]
    if reducer is not None:
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *contributions)
        return reducer(stacked, context)
    total = contributions[0]
    for contribution in contributions[1:]:
        total = jax.tree.map(jnp.add, total, contribution)
    return total, Traffic(sum(map(tree_bytes, contributions)), 0)


def _first_broken(outcome: ClientOutcome) -> str:
    """Name of the first parameter with a NaN or infinity."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(outcome.contribution):
        if not np.isfinite(leaf).all():
            return f"parameter {jax.tree_util.keystr(path) or 'array'}"
    return "the training loss"


@contextmanager
def _stage(name: str, round_num: int, client: int | None = None) -> Iterator[None]:
    """Say in which round, client and stage an unforeseen failure happened."""
    try:
        yield
    except FedketError:
        raise
    except Exception as error:
        who = "" if client is None else f", client {client}"
        raise TrainingError(f"round {round_num}{who}: {name} failed: {error}") from error
