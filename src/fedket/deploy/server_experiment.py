"""The experiment as far as the server knows it: no sample of any site."""

import numpy as np

from fedket.deploy.rounds import SiteRounds
from fedket.deploy.site_trainer import Task
from fedket.experiment.build import Experiment, in_precision, precision
from fedket.federated.federation import make_federation
from fedket.types import Dataset


def site_experiment(task: Task, rounds: SiteRounds, test: Dataset | None) -> Experiment:
    """Return the experiment of rounds with sites.

    Args:
        task: What is trained.
        rounds: Its rounds.
        test: Samples of the server's own for evaluation, or None.
    """
    config, samples = task.config, task.context.samples
    partition = [np.zeros(0, np.int64)] * config.num_clients
    if test is not None:
        samples = samples._replace(x_test=test.x_test, y_test=test.y_test)
    with precision(config):
        federation = make_federation(
            task.model,
            samples,
            partition,
            task.strategy,
            task.training,
            clients_per_round=config.federation.clients_per_round,
            gradients=config.federation.gradients,
            drift=config.federation.drift,
            seed=config.seed,
            engine=rounds.engine(),
            memory_limit_mb=config.engine.memory_limit_mb,
            dtype=config.engine.dtype,
        )
    federation = in_precision(config, federation)
    return Experiment(config, samples, partition, task.model, task.strategy, federation)
