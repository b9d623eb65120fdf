"""Clients dealt to several devices: GPUs, or the cores of one CPU as devices of their own.

In processes that were joined by `jax.distributed`, the devices of all of them.
"""

import os

import jax
import numpy as np
from jax.sharding import Mesh

from fedket.errors import ConfigError
from fedket.federated.placement import CLIENTS
from fedket.federated.trainer import ClientTrainer, Engine, TrainingData
from fedket.federated.vectorised import vectorised_engine
from fedket.types import Reducer


def sharded_engine(
    trainer: ClientTrainer,
    data: TrainingData,
    seed: int,
    reducer: Reducer | None,
    cohort_size: int,
    memory_limit_mb: int,
) -> Engine:
    """Build the vectorised engine over all devices that JAX sees.

    Per client the arithmetic is the same; sums are taken in another order, so weights agree with
    the vectorised engine to rounding, and with a quantising reducer bit for bit. Several processes
    run it in step; the reducer must give the sum to all of them.
    """
    mesh = Mesh(np.array(jax.devices()), (CLIENTS,))
    return vectorised_engine(trainer, data, seed, reducer, cohort_size, memory_limit_mb, mesh)


def split_cpu(num_devices: int = 0) -> None:
    """Make JAX see the CPU as so many devices; must come before anything else uses JAX.

    Args:
        num_devices: Usually the number of cores, which 0 means; with 0 a CPU that JAX has used
            already stays as it is.

    Raises:
        ConfigError: JAX has been used already and sees another number of devices than asked for.
    """
    try:
        jax.config.update("jax_num_cpu_devices", num_devices or os.cpu_count() or 1)
    except RuntimeError:
        found = len(jax.devices("cpu"))
        if num_devices not in (0, found):
            raise ConfigError(
                f"this program has used JAX with {found} CPU devices already, {num_devices} are "
                "asked for; start a new one, or split the CPU before anything else"
            ) from None
