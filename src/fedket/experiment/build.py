"""The one place that turns names into objects."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import jax
import numpy as np
import optax

from fedket import data
from fedket.errors import ConfigError
from fedket.experiment.aggregation import build_reducer
from fedket.experiment.check import (
    check_cohort,
    check_fit,
    check_head,
    check_memory_of,
    check_per_sample_memory,
    check_threshold,
    cohort_size,
)
from fedket.experiment.config import (
    CnnConfig,
    ExperimentConfig,
    HybridConfig,
    LeNetConfig,
    MlpConfig,
    PartitionConfig,
    QuantumTrainConfig,
    StrategyConfig,
    TrainingConfig,
    VqcConfig,
)
from fedket.experiment.features import with_features
from fedket.experiment.key_sources import check_keys
from fedket.federated import (
    LOSSES,
    Federation,
    FisherSettings,
    LocalTraining,
    fed_adam,
    fed_avg,
    fed_prox,
    fed_yogi,
    make_federation,
    qfedfisher,
)
from fedket.models import (
    cnn,
    hybrid,
    lenet5,
    matched_width,
    mlp,
    plan_generator,
    plan_target,
    quantum_train,
    vqc,
)
from fedket.models.quantum_train import GeneratorPlan
from fedket.models.target import Target
from fedket.quantum import Circuit, ansatz
from fedket.rng import Purpose, numpy_seed
from fedket.secure import bounded_sum
from fedket.types import Dataset, KeySource, Model, Partition, Reducer, Strategy

CIRCUITS: dict[str, Callable[[int, int], Circuit]] = {
    "qfedfisher": ansatz.qfedfisher,
    "qunetqfl": ansatz.qunetqfl,
    "chen_yoo": ansatz.chen_yoo,
    "quantum_train": ansatz.quantum_train,
}

PARTITIONS: dict[str, Callable[[Dataset, PartitionConfig, np.random.Generator], Partition]] = {
    "iid": lambda d, c, rng: data.iid(
        len(d.y_train), num_clients=c.num_clients, rng=rng, min_samples=c.min_samples
    ),
    "dirichlet": lambda d, c, rng: data.dirichlet(
        d.y_train,
        num_clients=c.num_clients,
        alpha=c.alpha,
        rng=rng,
        min_samples=c.min_samples,
    ),
    "label_shards": lambda d, c, rng: data.label_shards(
        d.y_train,
        num_clients=c.num_clients,
        shards_per_client=c.shards_per_client,
        rng=rng,
        min_samples=c.min_samples,
    ),
    "quantity": lambda d, c, rng: data.quantity_skew(
        len(d.y_train),
        num_clients=c.num_clients,
        alpha=c.alpha,
        rng=rng,
        min_samples=c.min_samples,
    ),
    "groups": lambda d, c, rng: data.by_group(
        _groups(d), num_clients=c.num_clients, rng=rng, min_samples=c.min_samples
    ),
}

OPTIMIZERS: dict[str, Callable[[TrainingConfig], optax.GradientTransformation]] = {
    "adam": lambda c: optax.adam(c.learning_rate, eps=c.adam_epsilon),
    "sgd": lambda c: optax.sgd(c.learning_rate),
    "momentum": lambda c: optax.sgd(c.learning_rate, momentum=0.9),
}

STRATEGIES: dict[str, Callable[[StrategyConfig, LocalTraining], Strategy]] = {
    "fed_avg": lambda _, __: fed_avg(),
    "fed_prox": lambda c, _: fed_prox(c.mu),
    "fed_adam": lambda c, _: fed_adam(c.learning_rate, c.beta1, c.beta2, c.tau),
    "fed_yogi": lambda c, _: fed_yogi(c.learning_rate, c.beta1, c.beta2, c.tau),
    "qfedfisher": lambda c, t: qfedfisher(
        c.threshold,
        c.mode,
        FisherSettings(c.fisher, c.normalisation, c.fisher_samples, t.batch_size, t.loss),
    ),
}


class Experiment(NamedTuple):
    """A configuration with everything it names.

    Attributes:
        config: The configuration.
        dataset: Samples.
        partition: Samples of each client.
        model: What is trained.
        strategy: What is contributed and what becomes of the sum.
        circuit: The model's circuit, or None for classical models.
        federation: Ready to run.
    """

    config: ExperimentConfig
    dataset: Dataset
    partition: Partition
    model: Model
    strategy: Strategy
    circuit: Circuit | None
    federation: Federation


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
        keys: Its open key source, see `fedket.experiment.key_sources.open_keys`; without it
            masked rounds run on `os_random` only.
        led: Makes a reducer give its sum to all processes of the run.

    Raises:
        FedketError: One clear line about whatever does not fit.
    """
    if config.engine.kind == "flare":
        raise ConfigError(
            'engine.kind = "flare" trains at sites; use `fedket deploy local FILE` to see it on '
            "this machine, or another engine to simulate it"
        )
    check_cohort(config)
    check_threshold(config)
    check_keys(config)
    check_head(config)
    with precision(config):
        dataset = data.load_dataset(
            **config.data.model_dump(),
            states=data.StateRequest(**config.states.model_dump(), sample_seed=config.seed),
            transform=data.Transform(**config.transform.model_dump()),
        )
        dataset = with_features(config, dataset)
        rng = np.random.default_rng(numpy_seed(config.seed, Purpose.PARTITION))
        partition = PARTITIONS[config.partition.kind](dataset, config.partition, rng)
        training = build_training(config.training, largest=max(map(len, partition)))
        check_memory_of(config, training.batch_size)
        model, circuit = build_model(config, dataset)
        check_fit(model, dataset, config.engine.dtype)
        check_per_sample_memory(config, model, training.batch_size)
        strategy = STRATEGIES[config.strategy.kind](config.strategy, training)
        reducer, clip = build_reducer(config, cohort_size(config), keys), config.aggregation.clip
        if reducer is not None:
            reducer = led(bounded_sum(reducer, strategy.bounds(clip), clip))
        federation = make_federation(
            model,
            dataset,
            partition,
            strategy,
            training,
            reducer=reducer,
            clients_per_round=config.federation.clients_per_round,
            seed=config.seed,
            engine=config.engine.kind,
            memory_limit_mb=config.engine.memory_limit_mb,
            dtype=config.engine.dtype,
        )
    within = precision(config)
    federation = federation._replace(
        init=within(federation.init),
        run_round=within(federation.run_round),
        evaluate=within(federation.evaluate),
    )
    return Experiment(config, dataset, partition, model, strategy, circuit, federation)


def build_model(config: ExperimentConfig, dataset: Dataset) -> tuple[Model, Circuit | None]:
    """Model of a configuration, and its circuit if it has one."""
    match config.model:
        case VqcConfig() as c:
            circuit = CIRCUITS[c.circuit](c.num_qubits, c.num_layers)
            model = vqc(
                circuit,
                dataset.num_classes,
                encoding=c.encoding,
                readout=c.readout,
                logit_scale=c.logit_scale,
                init_std=c.init_std,
            )
            return model, circuit
        case HybridConfig() as c:
            circuit = CIRCUITS[c.circuit](c.num_qubits, c.num_layers)
            model = hybrid(
                int(np.prod(dataset.x_train.shape[1:])),
                circuit,
                dataset.num_classes,
                hidden=c.hidden,
                dropout=c.dropout,
                encoding=c.encoding,
                readout=c.readout,
                logit_scale=c.logit_scale,
                init_std=c.init_std,
            )
            return model, circuit
        case QuantumTrainConfig() as c:
            plan = build_plan(c)
            return quantum_train(plan), plan.circuit
        case CnnConfig() as c:
            return cnn(build_target(c)), None
        case LeNetConfig():
            return lenet5(dataset.num_classes), None
        case MlpConfig() as c:
            features = int(np.prod(dataset.x_train.shape[1:]))
            hidden = c.hidden
            if c.match_parameters:
                hidden = (matched_width(features, dataset.num_classes, c.match_parameters),)
            return mlp(features, dataset.num_classes, hidden), None


def build_target(config: QuantumTrainConfig | CnnConfig) -> Target:
    """The plain network of a configuration."""
    return plan_target(config.layers, config.image_side, config.image_channels)


def build_plan(config: QuantumTrainConfig) -> GeneratorPlan:
    """What generates the network's weights."""
    return plan_generator(build_target(config), config.num_layers, config.map, config.blocks)


def build_training(config: TrainingConfig, largest: int) -> LocalTraining:
    """Local training of a configuration; batches beyond the `largest` client would be padding."""
    optimizer = OPTIMIZERS[config.optimizer](config)
    if config.head_learning_rate:
        optimizer = _two_rates(config)
    if config.weight_decay:
        optimizer = optax.chain(optax.add_decayed_weights(config.weight_decay), optimizer)
    batch_size = min(config.batch_size, largest)
    return LocalTraining(
        optimizer, config.epochs, batch_size, config.persistent_optimizer, LOSSES[config.loss]
    )


def _two_rates(config: TrainingConfig) -> optax.GradientTransformation:
    """Head and circuit of a hybrid model, each at its own learning rate."""
    of_head = config.model_copy(update={"learning_rate": config.head_learning_rate})
    parts = {"head": of_head, "circuit": config}
    make = OPTIMIZERS[config.optimizer]
    return optax.multi_transform({p: make(c) for p, c in parts.items()}, {p: p for p in parts})


def _groups(dataset: Dataset) -> np.ndarray:
    if dataset.groups is None:
        raise ConfigError(
            f"partition `groups` needs a group id per sample, data set `{dataset.name}` has none"
        )
    return dataset.groups
