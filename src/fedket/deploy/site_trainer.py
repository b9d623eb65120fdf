"""What a site does with its own samples in a round: train, and measure the model it was sent."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from fedket.data.batches import pack_partition
from fedket.deploy.agreed import shares_of
from fedket.deploy.deployable import masking_of
from fedket.deploy.memories import Memories
from fedket.deploy.statistics_task import Summed
from fedket.errors import ConfigError, ProtocolError
from fedket.experiment.aggregation import first_context
from fedket.experiment.build import build_learning, precision
from fedket.experiment.check import parameter_shapes
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.run_directory import config_hash
from fedket.federated.beginning import initial_params
from fedket.federated.evaluate import (
    Score,
    evaluation_batch,
    make_scorer,
    network_of,
    scoring_rng,
)
from fedket.federated.local import LocalTraining
from fedket.federated.program import Program
from fedket.federated.trainer import (
    ClientOutcome,
    ClientTrainer,
    Kept,
    TrainingData,
    broadcast_shape,
    contribution_shape,
    kept_at_first,
    round_rngs,
    train_client,
)
from fedket.rng import Rng
from fedket.section import Context
from fedket.secure import Protocol
from fedket.secure.sides import count_values
from fedket.types import (
    Bound,
    Broadcast,
    Contribution,
    Dataset,
    Model,
    Params,
    RoundContext,
    Strategy,
)

LOSS_LIMIT = 16.0
"""Largest local loss that is told apart, in nats; larger ones count as this."""


class Task(NamedTuple):
    """What is trained, and how; the same at the server and at every site.

    Attributes:
        config: The experiment.
        model: Its model, for the federation's samples and classes.
        training: Local training, with batches for a site as large as can be.
        strategy: Its strategy.
        params: Shapes and types of the parameters.
        sent: Shapes and types of what a round begins with at a site.
        context: What they were built from: the shape of a sample, the classes.
        protocol: How contributions become a sum.
        template: Shapes and types of a contribution: for the strategy, and a site's metrics.
    """

    config: ExperimentConfig
    model: Model
    training: LocalTraining
    strategy: Strategy
    params: Params
    sent: Broadcast
    context: Context
    protocol: Protocol
    template: Contribution

    @property
    def num_values(self) -> int:
        """Values of a contribution."""
        return count_values(self.template)

    def bounds(self, clip: float) -> Any:
        """Bounds of a contribution; metrics are sent as fractions of the clip."""
        return self.strategy.bounds(clip), Bound(clip)

    def round(
        self,
        round_num: int,
        cohort: tuple[int, ...],
        samples: Mapping[int, int],
        graph_seed: bytes = b"",
    ) -> RoundContext:
        """What everybody knows of a round, with the shares of the engines that simulate."""
        shares = shares_of(cohort, samples)
        return RoundContext(self.config.seed, round_num, cohort, shares, self.bounds, graph_seed)


def make_task(
    config: ExperimentConfig, features: tuple[int, ...], num_classes: int, min_sites: int = 2
) -> Task:
    """Build model and strategy without any sample.

    Args:
        config: The experiment.
        features: Shape of a sample.
        num_classes: Classes of the whole federation.
        min_sites: Fewest sites in a sum.

    Raises:
        ConfigError: The model does not suit such samples.
    """
    with precision(config):
        empty = np.zeros((0, *features), np.float32)
        nothing = np.zeros(0, np.int32)
        dataset = Dataset("sites", empty, nothing, empty, nothing, num_classes)
        context = first_context(config)._replace(dataset=dataset)
        model, training, strategy = build_learning(config, context, config.training.batch_size)
        if model.device is not None:
            raise ConfigError(
                f"a site computes on fedket's engine, not on a device: {model.runs_on}; use "
                'model.engine = "native"'
            )
        dtype = jnp.dtype(config.engine.dtype)
        params = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), parameter_shapes(model)
        )
        update, protocol = contribution_shape(strategy, params), masking_of(config, min_sites)
        # What is promised to clients covers what they contribute, and nothing beside it.
        names = () if config.privacy else ("accuracy", "loss")
        template = update, {name: jax.ShapeDtypeStruct((), dtype) for name in names}
        sent = broadcast_shape(strategy, params)
        return Task(config, model, training, strategy, params, sent, context, protocol, template)


def read_metrics(task: Summed, sent: Contribution) -> dict[str, float]:
    """Return summed metrics, weighted by samples: loss in nats, accuracy as a fraction, if sent."""
    clip = task.protocol.clip
    limits = {"accuracy": 1.0, "loss": LOSS_LIMIT}
    return {name: float(value) / clip * limits[name] for name, value in sent.items()}


def pack_broadcast(sent: Broadcast) -> bytes:
    """What a round begins with as bytes, in the order of its tree."""
    return np.asarray(ravel_pytree(sent)[0]).tobytes()


def training_parts(
    config: ExperimentConfig,
    dataset: Dataset,
    client_id: int,
    classes: int,
    largest: int,
    min_sites: int,
    folder: Path | None,
) -> "tuple[Task, SiteTrainer]":
    """Return a site's task and what it does in a round, compiled, for a session."""
    task = make_task(config, dataset.x_train.shape[1:], classes, min_sites)
    trainer = SiteTrainer(task, dataset, client_id, largest, folder)
    trainer.compile()
    return task, trainer


class SiteTrainer:
    """One site's training; keeps between rounds what the experiment says.

    Args:
        task: What is trained.
        dataset: The site's own samples; its test part, if any, is what accuracy is measured on.
        client_id: The site's number.
        largest: Samples of the largest site, which limits the batch.
        folder: Where the strategy's memory is kept; None keeps it in this process.
    """

    def __init__(
        self,
        task: Task,
        dataset: Dataset,
        client_id: int,
        largest: int,
        folder: Path | None = None,
    ) -> None:
        self._task, self._client = task, jnp.int32(client_id)
        config = task.config
        with precision(config):
            dtype = config.engine.dtype
            x, y = jnp.asarray(dataset.x_train, dtype), jnp.asarray(dataset.y_train)
            learning = build_learning(config, task.context, largest)
            self._training = learning.training
            # A row for every client, so that sites of one size run one compiled program; numbers of
            # sites that came late are beyond.
            rows = [np.zeros(0, np.int64)] * max(config.num_clients, client_id + 1)
            rows[client_id] = np.arange(len(dataset.y_train))
            clients = pack_partition(rows)
            self._data = TrainingData(x, y, clients)
            trainer = ClientTrainer(task.model, learning.strategy, self._training, len(x))
            self._training_program = Program(train_client, trainer)
            self._train: Callable[..., ClientOutcome] = self._training_program
            held_out = len(dataset.y_test) > 0
            self._test = (
                jnp.asarray(dataset.x_test if held_out else dataset.x_train, dtype),
                jnp.asarray(dataset.y_test if held_out else dataset.y_train),
            )
            most = evaluation_batch(task.model, x, config.engine.memory_limit_mb)
            batch = min(most, len(self._test[1]))
            own = network_of(task.model, self._client)
            self._scoring_program = make_scorer(own, batch, self._training.loss)
            self._score: Callable[..., Score] = self._scoring_program
            start = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), task.sent)
            self._unravel = ravel_pytree(start)[1]
            self.blank = pack_broadcast(start)
            self._memory = learning.strategy.memory
            whole = start.params
            if self._memory is not None:
                whole = initial_params(task.model, config.seed, dtype)
            first = kept_at_first(trainer, whole)
            self._optimizer = first.optimizer
            self._memories = Memories(first.memory, config_hash(config), folder)

    def contribute(
        self, model: bytes, context: RoundContext, remembered: int = 0
    ) -> Contribution | None:
        """Train from the global model and return what to contribute, or None if it is not finite.

        Args:
            model: What the round begins with.
            context: The round.
            remembered: The last round whose sum had this site's update; 0 for none.

        Raises:
            ProtocolError: The model has another size, or the memory is gone.
        """
        with precision(self._task.config):
            sent = self.read_model(model)
            weight = context.weights[context.client_ids.index(int(self._client))]
            memory = self._memories.of_round(remembered)
            outcome = self._train(*self._arguments(sent, memory, weight, context.round_num))
            if not outcome.finite:
                return None
            self._optimizer = outcome.kept.optimizer
            if self._memory is not None:
                self._memories.keep(remembered, context.round_num, outcome.kept.memory)
            if self._task.config.privacy:
                return outcome.contribution, {}
            own, shown = self._own_model(sent, memory), self._scoring_rng(context.round_num)
            accuracy = float(self._score(own, *self._test, shown).correct.mean())
            metrics = self._metrics(weight, accuracy, float(outcome.loss))
            return outcome.contribution, metrics

    def read_model(self, model: bytes) -> Broadcast:
        """Return what a message says that a round begins with."""
        if len(model) != len(self.blank):
            raise ProtocolError(f"a model of {len(model)} bytes, {len(self.blank)} are expected")
        values = jnp.asarray(np.frombuffer(model, self._task.config.engine.dtype))
        sent: Broadcast = self._unravel(values)
        return sent

    def compile(self) -> None:
        """Compile ahead; what was traced for it can then be forgotten (`jax.clear_caches`)."""
        with precision(self._task.config):
            sent, memory = self.read_model(self.blank), self._memories.of_round(0)
            self._train = self._training_program.compile(*self._arguments(sent, memory, 1.0, 0))
            own, shown = self._own_model(sent, memory), self._scoring_rng(0)
            self._score = self._scoring_program.compile(own, *self._test, shown)

    def _scoring_rng(self, round_num: int) -> Rng | None:
        return scoring_rng(self._task.model, self._task.config.seed, round_num, int(self._client))

    def _own_model(self, sent: Broadcast, memory: Any) -> Params:
        """What accuracy is measured of: the global model, unless the site has its own."""
        if self._memory is None or self._memory.personal is None:
            return sent.params
        return self._memory.personal(sent, memory)

    def _arguments(
        self, sent: Broadcast, memory: Any, weight: float, round_num: int
    ) -> tuple[Any, ...]:
        root = jax.random.key(self._task.config.seed)
        if self._training.gradient is not None:  # noise that others could work out hides nothing
            root = jax.random.wrap_key_data(jnp.asarray(np.frombuffer(os.urandom(8), np.uint32)))
        rngs, kept = round_rngs(root, round_num), Kept(self._optimizer, memory)
        return self._data, sent, kept, self._client, np.float32(weight), rngs

    def _metrics(self, weight: float, accuracy: float, loss: float) -> Contribution:
        clip, dtype = self._task.protocol.clip, self._task.config.engine.dtype
        shares = {"accuracy": accuracy, "loss": min(loss, LOSS_LIMIT) / LOSS_LIMIT}
        return {name: jnp.asarray(weight * share * clip, dtype) for name, share in shares.items()}
