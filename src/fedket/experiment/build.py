"""The order in which a configuration becomes objects; each section makes its own."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fedket.data.census import check_partition
from fedket.data.held_out import DataConfig, hold_out, joined_to_test, parted_from_test
from fedket.errors import ConfigError
from fedket.experiment.aggregation import (
    build_reducer,
    check_aggregation,
    check_attackers,
    first_context,
    graph_of,
    protocol_of,
    rule_of,
)
from fedket.experiment.check import (
    check_engine_of_clients,
    check_fit,
    check_noise,
    check_optimizer,
    check_regression,
    check_threshold,
    check_validation,
    parameter_shapes,
)
from fedket.experiment.conditions import answers_of, simulated_clients
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.privacy import clipped, private_steps
from fedket.experiment.section import build
from fedket.federated.averaging import averaged
from fedket.federated.conditions import SimulatedClients
from fedket.federated.federation import Federation, make_federation
from fedket.federated.local import LocalTraining
from fedket.federated.losses import objective_of
from fedket.federated.optimizers import clipped_gradients
from fedket.federated.personal import personal_layers
from fedket.federated.program import tunable
from fedket.federated.remembering import remembering
from fedket.models.per_client import per_client
from fedket.models.quantum_train import QuantumTrainConfig
from fedket.quantum.noise import NoiseModel
from fedket.quantum.noise.kinds import NoiseConfig
from fedket.quantum.shots import Shots
from fedket.section import Context
from fedket.secure.plain import plain_sum
from fedket.secure.robust.attacks import Attack, attacked, poisoned
from fedket.types import Dataset, KeySource, Model, Partition, Reducer, Strategy, Transform
from fedket.user_code import naming_users_lines


class Experiment(NamedTuple):
    """A configuration with everything it names.

    Attributes:
        config: The configuration.
        dataset: Samples.
        partition: Samples of each client.
        model: What is trained.
        strategy: What is contributed and what becomes of the sum.
        federation: Ready to run.
        clients: How clients come and go in the simulation; None if all are there.
    """

    config: ExperimentConfig
    dataset: Dataset
    partition: Partition
    model: Model
    strategy: Strategy
    federation: Federation
    clients: SimulatedClients | None = None


@contextmanager
def precision(config: ExperimentConfig) -> Iterator[None]:
    """Compute in the experiment's own precision, whatever the process is set to."""
    with jax.enable_x64(config.engine.dtype == "float64"):
        yield


def build_experiment(
    config: ExperimentConfig,
    keys: KeySource | None = None,
    led: Callable[[Reducer], Reducer] = lambda reducer: reducer,
) -> Experiment:
    """Load the data, make the objects and check that they fit; trains nothing.

    Nothing is compiled but a frozen network whose features of these images are not cached yet.

    Args:
        config: The experiment.
        keys: Its open key source, see `open_keys`; without it masked rounds run on
            `os_random` only.
        led: Makes a reducer give its sum to all processes of the run.

    Raises:
        FedketError: One clear line about whatever does not fit.
    """
    engine: Any = build(config.engine, first_context(config), object)
    check_aggregation(config)
    check_threshold(config)
    if _takes_key(config):
        config.keys.check(first_context(config))
    with precision(config):
        context = first_context(config)
        context = context._replace(dataset=load_samples(config, context))
        check_validation(config, context.samples)
        check_regression(config, context.samples)
        partition = build(config.partition, context, list)
        check_partition(partition, len(context.samples.y_train))
        parts = build_learning(config, context, max(map(len, partition)))
        shapes = parameter_shapes(parts.model)
        clients = simulated_clients(config, partition, parts.training, parts.strategy, shapes)
        answering = {}
        if clients is not None and config.asynchronous is None:
            answering = {"answers_of": partial(answers_of, clients)}
        reducer = build_reducer(config, parts.strategy, keys, **answering)
        attack = attack_of(config, context)
        if attack.send is not None:
            if config.graph is not None:
                raise ConfigError("[attack] on updates needs a server; leave [graph] out")
            reducer = attacked(reducer or plain_sum(), attack)
        if reducer is not None:
            reducer = led(reducer)
        federation = make_federation(
            parts.model,
            poisoned(attack, context.samples, partition),
            partition,
            parts.strategy,
            parts.training,
            graph=graph_of(config),
            reducer=reducer,
            clients_per_round=config.federation.clients_per_round,
            gradients=config.federation.gradients,
            drift=config.federation.drift,
            eval_clients=config.federation.eval_clients,
            seed=config.seed,
            engine=engine,
            memory_limit_mb=config.engine.memory_limit_mb,
            dtype=config.engine.dtype,
            clients=clients,
            probes=attack.probes(context.samples),
            asynchronous=config.asynchronous.rounds() if config.asynchronous else None,
        )
    federation = in_precision(config, federation)
    return Experiment(
        config, context.samples, partition, parts.model, parts.strategy, federation, clients
    )


@contextmanager
def open_keys(config: ExperimentConfig) -> Iterator[KeySource | None]:
    """Open the key source of an experiment, or None if it masks nothing.

    Raises:
        ConfigError: The source does not suit the experiment.
        KeyMaterialError: A pad store is in use, damaged or another party's; a certificate is bad.
    """
    if not _takes_key(config):
        yield None
        return
    with build(config.keys, first_context(config), AbstractContextManager) as source:  # type: ignore[type-abstract]
        yield source


def _takes_key(config: ExperimentConfig) -> bool:
    protocol = protocol_of(config)
    return protocol is not None and protocol.takes_key


def in_precision(config: ExperimentConfig, federation: Federation) -> Federation:
    """Return the federation, computing in the experiment's own precision whoever calls it."""
    within = precision(config)
    return federation._replace(
        init=within(federation.init),
        run_round=within(federation.run_round),
        evaluate=within(federation.evaluate),
    )


def load_samples(config: ExperimentConfig, context: Context) -> Dataset:
    """The data set of an experiment after its transforms, its validation split held out."""
    return transformed(raw_samples(config, context), transforms_of(config))


def raw_samples(config: ExperimentConfig, context: Context) -> Dataset:
    """The data set of an experiment before its transforms, its validation split held out."""
    dataset = build(config.data, context, Dataset)
    fraction = config.data.validation_fraction if isinstance(config.data, DataConfig) else None
    return dataset if fraction is None else hold_out(dataset, fraction, config.seed)


def transformed(dataset: Dataset, transforms: Iterable[Transform]) -> Dataset:
    """A data set after some transforms."""
    num_test = len(dataset.y_test)
    dataset = joined_to_test(dataset)
    for transform in transforms:
        with naming_users_lines():
            dataset = transform.apply(dataset)
    return parted_from_test(dataset, num_test)


def transforms_of(config: ExperimentConfig) -> list[Transform]:
    """What an experiment does to features, in order."""
    context = first_context(config)
    return [build(section, context, Transform) for section in config.transform]


def noise_of(config: ExperimentConfig, context: Context) -> NoiseModel | None:
    """What an experiment's circuit runs under; None if that changes nothing."""
    if config.noise is None:
        return None
    noise = build(config.noise, context, NoiseModel)
    return noise if noise.rules or noise.readout else None


def shots_of(config: ExperimentConfig) -> Shots | None:
    """Shots of an experiment's circuit; None if they change nothing."""
    if config.shots is None:
        return None
    shots = config.shots.shots()
    finite = shots.training or shots.evaluation or shots.gradient != "adjoint"
    return shots if finite else None


def attack_of(config: ExperimentConfig, context: Context) -> Attack:
    """The experiment's attackers; nobody without a table `[attack]`.

    Raises:
        ConfigError: They are not there, or more than the robust rule stands.
    """
    if config.attack is None:
        return Attack(())
    attack = build(config.attack, context, Attack)
    check_attackers(config, len(attack.clients))
    return attack


class Learning(NamedTuple):
    """What a client learns, and how; the same in a simulation and at a site."""

    model: Model
    training: LocalTraining
    strategy: Strategy


def build_learning(config: ExperimentConfig, context: Context, largest: int) -> Learning:
    """Model, local training and strategy.

    Args:
        config: The experiment.
        context: With samples, of which only shape and number of classes are used.
        largest: Samples of the largest client; larger batches would be padding.
    """
    batch_size, loss = min(config.training.batch_size, largest), config.training.loss.function
    weights = class_weights(config, context)
    known = len(context.samples.y_train) > 0
    steps = config.training.epochs * -(-largest // batch_size) if known else 0
    objective = objective_of(loss, weights)
    context = context._replace(batch_size=batch_size, max_steps=steps, loss=objective)
    context = context._replace(noise=noise_of(config, context), shots=shots_of(config))
    model = build(config.model, context, Model)
    check_noise(config, model, context)
    check_optimizer(config, model, batch_size)
    model = _at_clients(config, context, model)
    check_fit(model, context.samples, config.engine.dtype)
    context = context._replace(params=parameter_shapes(model))
    optimizer = build(config.optimizer, context, optax.GradientTransformation)
    if (most := config.training.clip_norm) is not None:
        optimizer = tunable(clipped_gradients, most, optimizer)
    schedule: Any = config.schedule and build(config.schedule, context, Callable)  # type: ignore[arg-type]
    persistent = config.training.persistent_optimizer
    strategy, rule = build(config.strategy, context, Strategy), rule_of(config)
    if config.federation.personal is not None:
        strategy = personal_layers(strategy, config.federation.personal, context.params)
    gradient = private_steps(config, context, strategy)
    strategy = clipped(config, strategy)
    epochs = config.training.epochs
    training = LocalTraining(
        optimizer, epochs, batch_size, persistent, loss, gradient, weights, schedule
    )
    strategy = remembering(strategy) if rule is not None and rule.recalls else strategy
    if (means := config.federation.averaging) is not None:
        strategy = averaged(strategy, means.decay, means.rounds)
    return Learning(model, training, strategy)


def class_weights(config: ExperimentConfig, context: Context) -> jax.Array | None:
    """What losses of samples of each class are multiplied by in training; None for 1.

    Raises:
        ConfigError: There are not as many as classes, or nobody knows how many samples a class has.
    """
    wanted, samples = config.training.class_weights, context.samples
    if wanted is None:
        return None
    if wanted != "balanced":
        if len(wanted) != samples.num_classes:
            raise ConfigError(
                f"training.class_weights has {len(wanted)} numbers, the data "
                f"{samples.num_classes} classes; give one for each"
            )
        return jnp.asarray(wanted, config.engine.dtype)
    if not len(samples.y_train):
        raise ConfigError(
            'training.class_weights = "balanced" counts the labels of all clients, which sites '
            "keep to themselves; give a number for each class"
        )
    counts = np.bincount(samples.y_train, minlength=samples.num_classes)
    balanced = len(samples.y_train) / (samples.num_classes * np.maximum(counts, 1))
    return jnp.asarray(balanced, config.engine.dtype)


def _at_clients(config: ExperimentConfig, context: Context, model: Model) -> Model:
    """The model, trained by each client under noise of its own if the experiment asks for it."""
    if isinstance(config.model, QuantumTrainConfig) and model.own_network:
        count = len(config.model.plans())
        check_engine_of_clients(config, count, "model.client_layers", f"all {count} networks")
    if context.noise is None or not isinstance(config.noise, NoiseConfig):
        return model
    noises = config.noise.of_clients(context)
    if not noises:
        return model
    if model.own_network:
        raise ConfigError("noise.clients and model.client_layers cannot be together; leave one out")
    distinct = tuple(dict.fromkeys(noises))
    every = f"the noise of all {len(distinct)} devices"
    check_engine_of_clients(config, len(distinct), "noise.clients", every)
    models = [build(config.model, context._replace(noise=noise), Model) for noise in distinct]
    return per_client(model, models, tuple(map(distinct.index, noises)))
