"""What is known of an experiment before anything is built."""

import numpy as np

from fedket.experiment.config import ExperimentConfig
from fedket.rng import Purpose, numpy_seed
from fedket.section import Context


def bare_context(config: ExperimentConfig) -> Context:
    """What the configuration alone says."""
    rng = np.random.default_rng(numpy_seed(config.seed, Purpose.PARTITION))
    return Context(
        config.seed,
        config.num_clients,
        config.cohort_size,
        config.engine.dtype,
        rng,
        name=config.name,
    )
