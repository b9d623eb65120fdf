"""An experiment's `[conditions]` as simulated clients, and what they mean for a protocol."""

from math import ceil, inf

import jax.numpy as jnp

from fedket.experiment.aggregation import cost_of, first_context, graph_of, protocol_of, sent_values
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.section import build
from fedket.federated.buffered import expected_rounds
from fedket.federated.cohort import sample_cohort
from fedket.federated.conditions import Conditions, SimulatedClients, expected, simulate_clients
from fedket.federated.draws import Draw
from fedket.federated.local import LocalTraining
from fedket.federated.schedule import make_schedule
from fedket.federated.trainer import broadcast_shape, contribution_shape, tree_size
from fedket.secure.protocol import Answers, Protocol
from fedket.types import Params, Partition, Strategy

ROUNDS_SHOWN = 100
"""Rounds over which attendance and time are averaged before a run."""


def simulated_clients(
    config: ExperimentConfig,
    partition: Partition,
    training: LocalTraining,
    strategy: Strategy,
    params: Params,
) -> SimulatedClients | None:
    """The clients that an experiment simulates; None if all are there and no clock is asked for.

    Args:
        config: The experiment.
        partition: Who has how many samples.
        training: How clients train.
        strategy: What is sent to clients and by them.
        params: Shapes of the model's parameters.

    Raises:
        ConfigError: Conditions do not fit, or no round can succeed.
        UserCodeError: One is a user's own, and fails or makes something else.
    """
    if config.conditions is None:
        return None
    itemsize = jnp.dtype(config.engine.dtype).itemsize
    num_values = sent_values(config, contribution_shape(strategy, params))
    cost, graph = cost_of(config, num_values), graph_of(config)
    messages = ceil(2 * len(graph.edges) / graph.num_clients) if graph else 1
    sent = cost.upload_bytes // config.cohort_size if cost else messages * num_values * itemsize
    size = training.batch_size
    clients = simulate_clients(
        conditions_of(config),
        config.seed,
        [training.epochs * ceil(len(own) / size) for own in partition],
        sent,
        messages * tree_size(broadcast_shape(strategy, params)) * itemsize,
    )
    protocol = protocol_of(config)
    if protocol is None:
        return clients
    return clients._replace(in_sum=True, least=max(protocol.least, 2 * protocol.takes_key))


def conditions_of(config: ExperimentConfig) -> Conditions:
    """What the sections build."""
    if config.conditions is None:
        return Conditions()
    context = first_context(config)
    draws = config.conditions.draws()
    made = {name: build(section, context, Draw) for name, section in draws.items()}
    return Conditions(**made, deadline_s=config.conditions.deadline_s or inf)


def answers_of(clients: SimulatedClients, protocol: Protocol) -> Answers:
    """Who answers what: silent clients nothing from some request on, late ones not with updates."""
    actions, trains = protocol.actions, protocol.actions.index(protocol.trains)

    def answers(round_num: int, client_id: int, action: str) -> bool:
        now = clients.of_round(round_num)
        since = int(len(actions) * now.silent[client_id])
        return action not in actions[min(since, trains) if now.late[client_id] else since :]

    return answers


def in_words(config: ExperimentConfig, clients: SimulatedClients | None) -> str:
    """What attendance and time to expect; empty without conditions."""
    if clients is None:
        return ""
    size = config.num_clients, config.in_training
    if config.asynchronous is not None:
        how = config.asynchronous.rounds()
        schedule = make_schedule(clients, config.seed, *size, how.buffer)
        return expected_rounds(schedule, config.in_training, ROUNDS_SHOWN, how)
    return expected(
        clients, [sample_cohort(config.seed, r, *size) for r in range(1, ROUNDS_SHOWN + 1)]
    )
