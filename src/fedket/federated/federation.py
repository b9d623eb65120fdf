"""The round: cohort, local training, sum, server step, evaluation.

`make_federation` binds everything that does not change during an experiment; `FederationState` is
everything that does, and is the checkpoint. There is one round, whoever executes it: an engine that
simulates the clients, or one that reaches them by messages.

A round whose sum cannot be opened is lost: the record says why, the state stays as it is but for
its number, clients' optimisers included, and the next round begins. It is not repeated, since the
same updates in another group would give single ones away.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from fedket.errors import ConfigError, ProtocolError, TrainingError
from fedket.federated.averaging import check_average
from fedket.federated.beginning import initial_params, kept_by_all, on_device
from fedket.federated.buffered import Asynchronous, asynchronous_rounds, buffered
from fedket.federated.cohort import sample_cohort
from fedket.federated.conditions import SimulatedClients, under_conditions
from fedket.federated.drift import UNSEEN
from fedket.federated.evaluate import EvaluatedClients, Evaluation
from fedket.federated.evaluator import make_evaluator
from fedket.federated.given import check_given, check_outputs, check_samples
from fedket.federated.gossip import WITH_A_SERVER, check_graph, gossip, mix, of_all
from fedket.federated.local import LocalTraining
from fedket.federated.lost_round import unchanged
from fedket.federated.schedule import make_schedule
from fedket.federated.trainer import (
    ClientTrainer,
    Engine,
    MakeEngine,
    TrainingData,
    broadcast_shape,
    contribution_shape,
    tree_bytes,
    tree_size,
)
from fedket.federated.vectorised import vectorised_engine
from fedket.record import RoundRecord, costs
from fedket.rng import Purpose, rng_for
from fedket.topology.graph import Topology
from fedket.types import (
    Dataset,
    ForeignDevice,
    Model,
    Params,
    Partition,
    Reducer,
    ServerState,
    Strategy,
)


class FederationState(NamedTuple):
    """Everything that changes during an experiment.

    Attributes:
        round_num: Finished rounds.
        params: The global model.
        server: The strategy's state; without a centre, the models of all clients.
        clients: What all clients keep between rounds (`Kept`, leading axis clients); if they keep
            it themselves, what `Engine.clients` says.
    """

    round_num: int
    params: Params
    server: ServerState
    clients: Any


class Federation(NamedTuple):
    """A bound experiment: pure functions over `FederationState`.

    Attributes:
        init: () -> state before the first round.
        run_round: (state, evaluate) -> (next state, record).
        evaluate: (params, ids of clients or None for all, round=0, state=None) -> Evaluation; the
            round decides what finite shots show, the state holds clients' own models.
    """

    init: Callable[[], FederationState]
    run_round: Callable[..., tuple[FederationState, RoundRecord]]
    evaluate: Callable[..., Evaluation]


def make_federation(
    model: Model,
    dataset: Dataset,
    partition: Partition,
    strategy: Strategy,
    training: LocalTraining,
    *,
    graph: Topology | None = None,
    reducer: Reducer | None = None,
    clients_per_round: int = 0,
    eval_clients: EvaluatedClients = "cohort",
    gradients: bool = False,
    drift: bool = False,
    seed: int = 0,
    engine: MakeEngine | Engine = vectorised_engine,
    memory_limit_mb: int = 2048,
    dtype: str = "float32",
    clients: SimulatedClients | None = None,
    probes: Mapping[str, tuple[np.ndarray, np.ndarray]] = MappingProxyType({}),
    asynchronous: Asynchronous | None = None,
    callbacks: Sequence[Callable[[RoundRecord], None]] = (),
) -> Federation:
    """Bind model, data and algorithms to a federation.

    Args:
        model: What is trained.
        dataset: Training samples are dealt to clients by `partition`; test and validation part stay
            at the server.
        partition: Sample indices per client.
        strategy: What clients contribute and what the server makes of the sum.
        training: Local training.
        graph: Who averages with whom, without a server, see `fedket.federated.gossip`; None for a
            federation with one.
        reducer: How contributions become a sum; None adds them in floating point.
            With a graph: how they become what `gossip.mix` returns; None mixes in floating point.
        clients_per_round: Cohort size; 0 means all clients.
        eval_clients: On whose own samples rounds are evaluated, beside the test set: those of the
            round's cohort, of all clients, or of none.
        gradients: Whether evaluations also differentiate the test loss, layer by layer.
        drift: Whether clients' updates are compared with their mean; holds all of a round.
        seed: All randomness is a function of it, the round and the client.
        engine: `vectorised_engine` is fast; `sequential_engine` trains one client at a time and
            says in which client, round and stage a failure happened; `sharded_engine` deals
            clients to devices; or an engine whose clients hold their samples, optimisers and
            reducer themselves, such as sites.
        memory_limit_mb: Bound for the working set of clients trained at the same time.
        dtype: `float32`, or `float64` with JAX's x64 mode switched on.
        clients: How clients come, go and take their time in a simulation; None: all are there.
        probes: Name of a metric -> features and labels of samples; evaluations record the accuracy
            on them.
        asynchronous: How rounds wait for nobody; `clients_per_round` is then how many train at the
            same time, and `clients` says how long they take.
        callbacks: Called with each round's record.

    Raises:
        FedketError: Something is not what it should be, or does not fit: one line, see
            `fedket.federated.given`.
    """
    simulated = not isinstance(engine, Engine)  # otherwise clients hold their samples themselves
    numbers = {
        "clients_per_round": clients_per_round,
        "seed": seed,
        "memory_limit_mb": memory_limit_mb,
    }
    check_given(model, dataset, strategy, training, graph, engine, reducer, numbers)
    if simulated:
        check_samples(dataset, partition, dtype)
        partition = [np.asarray(samples, np.int64) for samples in partition]
    check_average(strategy, graph, asynchronous)
    num_clients, num_test = len(partition), len(dataset.y_test)
    in_training = clients_per_round or num_clients
    sample_cohort(seed, 1, num_clients, in_training)
    cohort_size = asynchronous.buffer if asynchronous else in_training
    if graph is not None:
        if not simulated:
            raise ConfigError(WITH_A_SERVER)
        check_graph(graph, [len(samples) for samples in partition])
        strategy = gossip(strategy, graph.num_clients)
        reducer = of_all(graph, reducer or mix(graph))
    sent_strategy = strategy
    if asynchronous is not None:
        strategy = buffered(strategy, num_clients, in_training)
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype),
        jax.eval_shape(lambda: model.init(rng_for(seed, Purpose.INIT))),
    )
    if simulated:
        check_outputs(model, shapes, dataset, dtype)
    num_values = tree_size(contribution_shape(strategy, shapes))
    received = broadcast_shape(sent_strategy, shapes)
    data: TrainingData | None = None
    if isinstance(engine, Engine):
        if drift:
            raise ConfigError(UNSEEN)
        runner = engine
        first: Callable[[Params], Any] = partial(_of_engine, engine)
    else:
        data, length = on_device(dataset, partition, dtype)
        trainer = ClientTrainer(model, strategy, training, length, drift)
        runner = engine(trainer, data, seed, reducer, cohort_size, memory_limit_mb)
        first = partial(kept_by_all, trainer, num_clients)
    if clients is not None and asynchronous is not None:
        schedule = make_schedule(clients, seed, num_clients, in_training, cohort_size)
        runner = asynchronous_rounds(runner, asynchronous, schedule)
    elif clients is not None:
        runner = under_conditions(runner, clients)
    evaluator = make_evaluator(
        model,
        dataset,
        strategy,
        training,
        data,
        num_clients=num_clients,
        most=num_clients if eval_clients == "all" else cohort_size,
        whole=strategy.own_models or tree_size(received.params) == tree_size(shapes),
        gradients=gradients,
        seed=seed,
        memory_limit_mb=memory_limit_mb,
        dtype=dtype,
        probes=probes,
    )

    def init() -> FederationState:
        params = initial_params(model, seed, dtype)
        return FederationState(0, params, strategy.init(params), first(params))

    def run_round(
        state: FederationState, with_evaluation: bool = True
    ) -> tuple[FederationState, RoundRecord]:
        start = perf_counter()
        round_num = state.round_num + 1
        drawn = sample_cohort(seed, round_num, num_clients, cohort_size)
        cohort, absent, simulated_s, staleness = runner.attend(drawn, round_num)
        asked = np.union1d(cohort, list(absent)).astype(np.int32)
        lost = ""
        try:
            with _told_by(model.device) as jobs:
                outcome = runner.run(state.params, state.server, state.clients, cohort, round_num)
                jax.block_until_ready(outcome.params)
            if outcome.train_loss is not None and not np.isfinite(outcome.train_loss):
                raise TrainingError(f"the mean training loss is {outcome.train_loss}")
        except ProtocolError as error:
            outcome, lost = unchanged(state[1:], cohort, error), str(error)
        after = FederationState(round_num, outcome.params, outcome.server, outcome.clients)
        scored = {"cohort": asked, "all": None, "none": asked[:0]}[eval_clients]
        evaluated = with_evaluation and num_test
        with _told_by(model.device) as more_jobs:
            measured = (after.params, scored, round_num, after)
            evaluation = evaluator.evaluate(*measured) if evaluated else None
            own = evaluator.of_own_models(outcome.server, scored, round_num, bool(evaluated))
        more = evaluator.probed(outcome.params, outcome.server) if evaluated else {}
        record = RoundRecord(
            round=round_num,
            cohort=tuple(asked.tolist()),
            dropped=absent | outcome.dropped | dict(outcome.traffic.missing),
            lost=lost,
            train_loss=outcome.train_loss,
            seconds=perf_counter() - start,
            simulated_s=simulated_s,
            staleness=staleness,
            download_bytes=outcome.traffic.upload_bytes
            if strategy.own_models
            else tree_bytes(received) * len(cohort),
            metrics=outcome.metrics | more,
            drift=outcome.drift,
            device_jobs=(*jobs, *more_jobs),
            **costs(outcome.traffic, num_values * (len(cohort) - len(outcome.dropped))),
            **(evaluation._asdict() if evaluation else {}),
            **own,
        )
        for tell in callbacks:
            tell(record)
        return after, record

    return Federation(init, run_round, evaluator.evaluate)


def _of_engine(engine: Engine, params: Params) -> Any:  # noqa: ARG001
    """What the state holds of clients that keep the rest themselves."""
    return engine.clients


@contextmanager
def _told_by(device: ForeignDevice | None) -> Iterator[list[str]]:
    """Collect the ids of a device's jobs; what failed there is raised in place of its results."""
    jobs: list[str] = []
    try:
        yield jobs
    finally:
        if device is not None:
            jobs += device.finish()
