"""The fast engine: clients vectorised in chunks, chunks scanned, one XLA program per round.

With a mesh the chunks are dealt to its devices, which train them side by side. The mesh
may span processes: all of them then call `run` with the same arguments and get the same outcome.

Without a reducer the sum is accumulated chunk by chunk on the device, so memory depends on the
chunk, not on the cohort. A client whose update is not finite is found after the program ran; the
round is then run again without it, so that the weights of the others sum to 1.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray

from fedket.federated.drift import Drift, drift_by_client, measure_drift
from fedket.federated.placement import (
    BATCH,
    Resident,
    dealt,
    devices_for_clients,
    everywhere,
    here,
    readable_everywhere,
    results_everywhere,
)
from fedket.federated.program import Program
from fedket.federated.split_batch import split_gradient
from fedket.federated.trainer import (
    NON_FINITE,
    ClientOutcome,
    ClientTrainer,
    CohortOutcome,
    Engine,
    Kept,
    RoundRngs,
    TrainingData,
    as_numbers,
    broadcast_shape,
    cohort_weights,
    contribution_shape,
    kept_at_first,
    nobody_left,
    restore_clients,
    round_context,
    round_rngs,
    select_clients,
    server_step,
    train_client,
    tree_bytes,
)
from fedket.federated.working_set import chunk_size, traced_bytes, traced_work
from fedket.traffic import Traffic
from fedket.types import Broadcast, Contribution, Params, Reducer, ServerState


class Chunks(NamedTuple):
    """A cohort cut into chunks; padded places carry weight 0. Shapes (chunks, size)."""

    ids: Int[Array | np.ndarray, "*chunks size"]
    weights: Float[Array | np.ndarray, "*chunks size"]


class ChunkedOutcome(NamedTuple):
    """What clients keep, and per-client results in the order of the flat chunks.

    `loss` is NaN where anything of a client's update is not finite; `next_round` is the number of
    the round after this one, and `drift` is None unless asked for.
    """

    clients: Kept
    loss: Float[Array, " cohort"]
    next_round: Int[Array | np.ndarray, ""]
    drift: Drift | None = None


def vectorised_engine(
    trainer: ClientTrainer,
    data: TrainingData,
    seed: int,
    reducer: Reducer | None,
    cohort_size: int,
    memory_limit_mb: int,
    mesh: Mesh | None = None,
) -> Engine:
    """Build the engine, see `MakeEngine`; nothing compiles before the first round.

    The devices of `mesh` are along the axis `CLIENTS` or `BATCH`; None is the default device alone.
    """
    num_samples = np.asarray(data.clients.num_samples)
    data = readable_everywhere(mesh, data)
    num_devices = devices_for_clients(mesh)
    whole = _train_and_apply if reducer is None else _train_and_stack
    place = partial(everywhere, mesh)
    program = Program(whole, (trainer, mesh), results_everywhere(mesh), place)
    apply_sum = Program(server_step, trainer.strategy)
    restore = Program(_restore, None, results_everywhere(mesh))
    root = everywhere(mesh, jax.random.key(seed))
    model, cut, number = (Resident(mesh) for _ in range(3))
    sizes: list[Sizes] = []

    def run(
        params: Params, server: ServerState, clients: Kept, cohort: np.ndarray, round_num: int
    ) -> CohortOutcome:
        if not sizes:
            each = -(-cohort_size // num_devices)
            sizes.append(_sizes(trainer, data, params, each, memory_limit_mb))
        sent = model.place(params)
        server, clients = everywhere(mesh, (server, clients))
        order = np.argsort(num_samples[cohort], kind="stable")
        ids = cohort[order]
        alive = np.ones(len(ids), dtype=bool)
        while True:
            weights = cohort_weights(num_samples[ids], alive)
            chunks, places = _cut(ids, weights, sizes[0].chunk, num_devices)
            numbered = root, number.place(np.int32(round_num))
            first, outcome = program(data, sent, server, clients, cut.place(chunks), numbered)
            number.know(np.int32(round_num + 1), outcome.next_round)
            losses = np.asarray(outcome.loss)[places]
            broken = alive & ~np.isfinite(losses)
            if not broken.any():
                break
            alive &= ~broken
            if not alive.any():
                raise nobody_left(round_num, {int(c): NON_FINITE for c in ids})
        loss = float(np.sum(weights[alive] * losses[alive]))
        dropped = {int(c): NON_FINITE for c in np.sort(ids[~alive])}
        if reducer is None:
            new_server, trained, metrics = first
            new_params, metrics = here(mesh, (trained, metrics))
            model.know(new_params, trained)
            traffic = Traffic(int(alive.sum()) * sizes[0].contribution_bytes, 0)
        else:
            rows = np.flatnonzero(alive)
            rows = rows[np.argsort(ids[rows])]
            server = here(mesh, server)
            context = round_context(trainer, server, seed, round_num, ids[rows], weights[rows])
            contributions = jax.tree.map(lambda leaf: np.asarray(leaf)[places[rows]], first)
            total, traffic = reducer(contributions, context)
            if traffic.missing and jax.tree.leaves(clients.memory):
                nobody = np.iinfo(np.int32).max
                missing = np.where(np.isin(cohort, list(traffic.missing)), cohort, nobody)
                kept = restore(clients, outcome.clients, everywhere(mesh, missing))
                outcome = outcome._replace(clients=kept)
            new_server, new_params, metrics = apply_sum(server, params, total)
        drift = None if outcome.drift is None else Drift(*(a[places] for a in outcome.drift))
        apart, numbers = drift_by_client(drift, ids), as_numbers(metrics)
        return CohortOutcome(
            new_params, new_server, outcome.clients, loss, dropped, traffic, numbers, apart
        )

    return Engine(run)


def _cut(
    ids: np.ndarray, weights: np.ndarray, size: int, num_devices: int
) -> tuple[Chunks, np.ndarray]:
    """Chunks of clients in ascending order of their sizes, and where each client is.

    Every device gets as many chunks, dealt like cards: the largest clients are not all on one.
    What is missing to full chunks is filled up with the smallest client.
    """
    pad = -len(ids) % (size * num_devices)
    places = np.arange(len(ids) + pad).reshape(-1, num_devices, size)
    order = places.swapaxes(0, 1).ravel()
    filled = np.concatenate([ids, np.repeat(ids[:1], pad)])[order]
    weighed = np.concatenate([weights, np.zeros(pad, weights.dtype)])[order]
    chunks = Chunks(filled.reshape(-1, size), weighed.reshape(-1, size))
    return chunks, np.argsort(order)[: len(ids)]


class Sizes(NamedTuple):
    """Clients of a chunk, and bytes of what each of them contributes."""

    chunk: int
    contribution_bytes: int


def _sizes(
    trainer: ClientTrainer,
    data: TrainingData,
    params: Params,
    cohort_size: int,
    memory_limit_mb: int,
) -> Sizes:
    client_bytes = traced_bytes(*_one_client(trainer, data, params))
    chunk = chunk_size(client_bytes, cohort_size, memory_limit_mb)
    return Sizes(chunk, tree_bytes(contribution_shape(trainer.strategy, params)))


def round_work(trainer: ClientTrainer, data: TrainingData, cohort_size: int) -> float:
    """Bytes that the training of an average round writes, see `traced_work`."""
    params = jax.eval_shape(trainer.model.init, jax.random.key(0))
    samples = float(np.mean(np.asarray(data.clients.num_samples)))
    steps = trainer.training.epochs * max(1.0, samples / trainer.training.batch_size)
    return cohort_size * steps * traced_work(*_one_client(trainer, data, params))


def _one_client(trainer: ClientTrainer, data: TrainingData, params: Params) -> tuple[Any, ...]:
    """A client's training and its arguments, to be traced."""
    kept = jax.eval_shape(partial(kept_at_first, trainer), params)
    sent = broadcast_shape(trainer.strategy, params)
    zero, rngs = jnp.zeros((), jnp.int32), round_rngs(jax.random.key(0), 0)
    return Program(train_client, trainer), data, sent, kept, zero, jnp.ones(()), rngs


Bound = tuple[ClientTrainer, Mesh | None]
RoundNumber = tuple[PRNGKeyArray, Int[Array | np.ndarray, ""]]
"""The key made of the seed, and the round: arguments of `round_rngs`."""


def _train_chunk(
    bound: Bound,
    data: TrainingData,
    sent: Broadcast,
    clients: Kept,
    chunk: Chunks,
    rngs: RoundRngs,
) -> ClientOutcome:
    """Train the clients of one chunk side by side."""
    trainer, mesh = bound
    if mesh is not None and BATCH in mesh.shape:
        training = trainer.training._replace(gradient=split_gradient)
        trainer = trainer._replace(training=training)
    kept = select_clients(clients, chunk.ids)
    one = partial(Program(train_client, trainer), data, sent)
    outcome: ClientOutcome = jax.vmap(one, in_axes=(0, 0, 0, None))(
        kept, chunk.ids, chunk.weights, rngs
    )
    return outcome


def _train_and_apply(
    bound: Bound,
    data: TrainingData,
    params: Params,
    server: ServerState,
    clients: Kept,
    chunks: Chunks,
    number: RoundNumber,
) -> tuple[Any, ChunkedOutcome]:
    """Train, add up and apply, all on the device."""
    trainer, mesh = bound

    def add_up(
        data: TrainingData, sent: Broadcast, clients: Kept, chunks: Chunks, rngs: RoundRngs
    ) -> tuple[Contribution, ClientOutcome]:
        def body(total: Contribution, chunk: Chunks) -> tuple[Contribution, ClientOutcome]:
            outcome = _train_chunk(bound, data, sent, clients, chunk, rngs)
            sums = jax.tree.map(lambda leaf: leaf.sum(axis=0), outcome.contribution)
            total = jax.tree.map(jnp.add, total, sums)
            return total, outcome._replace(contribution=())

        first = jax.tree.map(lambda leaf: leaf[0], chunks)
        shapes = jax.eval_shape(lambda c: _train_chunk(bound, data, sent, clients, c, rngs), first)
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape[1:], s.dtype), shapes.contribution)
        total, outcomes = jax.lax.scan(body, zeros, chunks)
        return jax.tree.map(lambda leaf: leaf[None], total), outcomes

    sent = trainer.strategy.broadcast(server, params)
    totals, outcomes = dealt(add_up, mesh)(data, sent, clients, chunks, round_rngs(*number))
    total = jax.tree.map(lambda leaf: leaf.sum(axis=0), totals)
    result = server_step(trainer.strategy, server, params, total)
    return result, _unchunk(clients, chunks, outcomes, number[1])


def _train_and_stack(
    bound: Bound,
    data: TrainingData,
    params: Params,
    server: ServerState,
    clients: Kept,
    chunks: Chunks,
    number: RoundNumber,
) -> tuple[Any, ChunkedOutcome]:
    """Train and hand out every client's contribution, for a reducer on the host."""
    trainer, mesh = bound

    def train(
        data: TrainingData, sent: Broadcast, clients: Kept, chunks: Chunks, rngs: RoundRngs
    ) -> ClientOutcome:
        outcomes: ClientOutcome = jax.lax.map(
            lambda chunk: _train_chunk(bound, data, sent, clients, chunk, rngs), chunks
        )
        return outcomes

    sent = trainer.strategy.broadcast(server, params)
    outcomes = dealt(train, mesh)(data, sent, clients, chunks, round_rngs(*number))
    return _flat(outcomes.contribution), _unchunk(clients, chunks, outcomes, number[1])


def _restore(_: None, before: Kept, after: Kept, ids: Int[Array, " clients"]) -> Kept:
    return restore_clients(before, after, ids)


def _flat(tree: Any) -> Any:
    """Merge the axes (chunks, size)."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)


def _unchunk(
    clients: Kept, chunks: Chunks, outcomes: ClientOutcome, round_num: Int[Array | np.ndarray, ""]
) -> ChunkedOutcome:
    """Write back what finite, unpadded clients keep; leave the others as they were."""
    ids, weights, finite = chunks.ids.ravel(), chunks.weights.ravel(), outcomes.finite.ravel()
    # Padding repeats a real client: out-of-range rows make its writes disappear.
    rows = jnp.where(finite & (weights > 0), ids, np.iinfo(np.int32).max)
    clients = jax.tree.map(
        lambda old, new: old.at[rows].set(new, mode="drop"), clients, _flat(outcomes.kept)
    )
    apart = None
    if jax.tree.leaves(outcomes.update):
        apart = measure_drift(_flat(outcomes.update), weights, finite)
    loss = jnp.where(finite, outcomes.loss.reshape(-1), jnp.nan)
    return ChunkedOutcome(clients, loss, round_num + 1, apart)
