"""What a configuration promises beyond its fields' ranges, checked before anything compiles."""

from pathlib import Path

import jax
import jax.numpy as jnp

from fedket.errors import ConfigError, DataError
from fedket.experiment.aggregation import protocol_of, summed_clients
from fedket.experiment.config import ExperimentConfig
from fedket.federated.fed_nova import FedNovaConfig
from fedket.federated.given import check_outputs
from fedket.federated.losses import cross_entropy
from fedket.federated.optimizers import NO_METRIC, NaturalGradientConfig
from fedket.federated.qfedfisher import QFedFisherConfig, effective_threshold
from fedket.federated.trainer import tree_size
from fedket.quantum.memory import available_bytes, check_memory
from fedket.section import Context
from fedket.secure.privacy.kinds import SumNoiseConfig
from fedket.types import Dataset, Model, Params

MAX_TOGETHER = 4
"""Devices or networks that clients which are vectorised may run in place of their own alone."""

PARAMETER_COPIES = 4
"""Live copies of the parameters on one client: global, local, gradient, optimiser state."""


def check_threshold(config: ExperimentConfig) -> None:
    """Raise `ConfigError` if words cannot tell Fisher information at the threshold from none."""
    protocol, strategy, cohort = protocol_of(config), config.strategy, summed_clients(config)
    if protocol is None or not isinstance(strategy, QFedFisherConfig):
        return
    # Fisher information of at most 1 is sent as clip / cohort, see `fedket.secure.encoding`.
    quantiser = protocol.quantiser([1 / cohort] * cohort)
    step = cohort / (quantiser.clip * quantiser.scale)
    limit = effective_threshold(strategy.threshold, strategy.mode)
    if step > limit:
        raise ConfigError(
            f"Fisher information of {limit:g} (strategy.threshold and mode) is less than one step "
            f"of {quantiser.bits}-bit words, {step:.2g}; use more bits, a larger threshold or "
            'aggregation.kind = "plain"'
        )


def caveat_of_threshold(
    config: ExperimentConfig, noise_multiplier: float, num_values: int
) -> dict[str, tuple[str, ...]]:
    """Say if information that counts is less than the noise of `[privacy]` on its sum.

    Fisher information of 1 is sent as clip / √num_values, see `fedket.secure.privacy.coder`.
    """
    strategy, noise = config.strategy, noise_multiplier * num_values**0.5
    if not isinstance(config.privacy, SumNoiseConfig) or not isinstance(strategy, QFedFisherConfig):
        return {}
    limit = effective_threshold(strategy.threshold, strategy.mode)
    if limit >= noise:
        return {}
    return {
        "strategy": (
            f"The noise on summed Fisher information has a standard deviation of {noise:.3g}, and "
            f"updates are divided by sums from {limit:g} on (strategy.threshold and mode): a "
            f"threshold of {noise:.3g} or more keeps noise from being divided by noise.",
        )
    }


def check_whole(config: ExperimentConfig, directory: Path) -> None:
    """Raise `ConfigError` if a run's global model is only what clients share of theirs."""
    if config.federation.personal is not None:
        raise ConfigError(
            f"{directory} has no whole model: {', '.join(config.federation.personal)} stayed at "
            "the clients (federation.personal), whose memories are in its checkpoint"
        )


def check_regression(config: ExperimentConfig, dataset: Dataset) -> None:
    """Raise `ConfigError` if labels are numbers, and something in the experiment needs classes."""
    if not dataset.regression:
        return
    numbers = f"labels of data set `{dataset.name}` are numbers, not classes"
    if config.training.loss.function is cross_entropy:
        raise ConfigError(f'{numbers}; use training.loss = "mse", or "optax:huber_loss"')
    if config.training.class_weights is not None:
        raise ConfigError(f"{numbers}; leave training.class_weights out")
    if config.federation.best_by == "accuracy":
        raise ConfigError(f'{numbers}; use federation.best_by = "loss"')
    if config.partition.kind in ("dirichlet", "label_shards"):
        raise ConfigError(f'{numbers}; use partition.kind = "iid", "quantity" or "groups"')
    if config.attack is not None and config.attack.kind in ("label_flipping", "backdoor"):
        raise ConfigError(f"{numbers}; attack.kind = `{config.attack.kind}` needs classes")


def check_validation(config: ExperimentConfig, dataset: Dataset) -> None:
    """Raise `ConfigError` if something is to be chosen on a validation split that is not there."""
    plan = config.federation
    chosen = {"best_by": plan.best_by, "early_stopping": plan.early_stopping}
    for name, value in chosen.items():
        if value is not None and dataset.x_val is None:
            raise ConfigError(
                f"federation.{name} needs a validation split, and never looks at the test set; set "
                "data.validation_fraction, for example to 0.1"
            )
    if dataset.x_val is not None and plan.personal is not None:
        raise ConfigError(
            "a validation split needs a whole model at the server, which federation.personal "
            "leaves in parts at the clients; leave one of them out"
        )


def check_noise(config: ExperimentConfig, model: Model, context: Context) -> None:
    """Raise `ConfigError` if the model leaves the experiment's noise or shots out."""
    if model.noise != context.noise:
        raise ConfigError(
            f"model `{config.model.kind}` cannot be trained under [noise]; use `vqc`, `hybrid`, "
            "`mps`, `quantum_train`, or `qasm`, `qiskit` and `pennylane` on fedket's engine, or "
            "leave the table out"
        )
    if (model.shots and model.shots.shots) != context.shots:
        raise ConfigError(
            f"model `{config.model.kind}` cannot be trained with [shots]; use `vqc`, `hybrid`, "
            "`mps`, `quantum_train`, or `qasm`, `qiskit` and `pennylane` on fedket's engine, or "
            "leave the table out"
        )


def check_optimizer(config: ExperimentConfig, model: Model, batch_size: int) -> None:
    """Refuse an optimiser's metric that the model has not, or that does not fit into memory.

    Raises:
        ConfigError: The model has no metric, or FedNova is told of another momentum.
        CircuitError: A batch's copies of states are too many.
    """
    momentum = getattr(config.optimizer, "momentum", None) or 0.0
    if isinstance(config.strategy, FedNovaConfig) and config.strategy.momentum != momentum:
        raise ConfigError(
            f"strategy.momentum is {config.strategy.momentum:g}, that of the optimizer is "
            f"{momentum:g}: FedNova divides by what clients' steps amount to; make them equal"
        )
    if not isinstance(config.optimizer, NaturalGradientConfig):
        return
    if model.metric is None:
        raise ConfigError(NO_METRIC)
    num_qubits = model.circuit.num_qubits
    copies = 2 * 2**num_qubits * batch_size
    check_memory(num_qubits, copies, 2 * jnp.dtype(config.engine.dtype).itemsize)


def check_engine_of_clients(config: ExperimentConfig, count: int, key: str, all_of: str) -> None:
    """Raise `ConfigError` if the engine would run too many clients' models on every client."""
    if config.engine.kind in ("vectorised", "sharded") and count > MAX_TOGETHER:
        raise ConfigError(
            f"{key}: clients that train side by side each run {all_of}, and that is for up to "
            f'{MAX_TOGETHER}; use engine.kind = "sequential"'
        )


def parameter_shapes(model: Model) -> Params:
    """Shapes and types of a model's parameters; nothing compiles, not even a random key."""
    return jax.eval_shape(lambda: model.init(jax.random.key(0)))


def check_fit(model: Model, dataset: Dataset, dtype: str) -> None:
    """Trace the model on two samples and compare its logits with the classes.

    Raises:
        ConfigError: The model does not take such samples, has other outputs than the data has
            classes, or more parameters than memory holds.
        DataError: There is only one class.
    """
    if dataset.num_classes < 2 and not dataset.regression:
        raise DataError(f"data set `{dataset.name}` has a single class; ask for two or more")
    params = parameter_shapes(model)
    needed = PARAMETER_COPIES * tree_size(params) * jnp.dtype(dtype).itemsize
    if needed > available_bytes():
        raise ConfigError(
            f"{tree_size(params):,} parameters need about {needed / 2**30:.1f} GiB, "
            f"{available_bytes() / 2**30:.1f} GiB are available; use fewer layers or units"
        )
    check_outputs(model, params, dataset, dtype)
