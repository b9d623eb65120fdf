"""Clients dealt to several devices: GPUs, or the cores of one CPU as devices of their own.

In processes that were joined by `jax.distributed`, the devices of all of them.
"""

import jax
import numpy as np
from jax.sharding import Mesh

from fedket.cores import num_cores
from fedket.errors import ConfigError
from fedket.federated.placement import CLIENTS
from fedket.federated.trainer import ClientTrainer, Engine, TrainingData
from fedket.federated.vectorised import round_work, vectorised_engine
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


SHORT_ROUND = 128 * 2**20
"""Bytes that a round writes below which one core is as fast as two: some two milliseconds."""


def cores_engine(
    trainer: ClientTrainer,
    data: TrainingData,
    seed: int,
    reducer: Reducer | None,
    cohort_size: int,
    memory_limit_mb: int,
) -> Engine:
    """Build the vectorised engine over the cores that this process may use.

    One core per client at most; they read the same samples. One device, as `vectorised_engine`, if
    a round is too short to be worth waking others, on a GPU, if JAX has begun to use the CPU before
    `split_cpu`, and in each of several processes.
    """
    devices = jax.devices()
    count = min(len(devices), cohort_size)
    alone = count < 2 or devices[0].platform != "cpu" or jax.process_count() > 1
    alone = alone or round_work(trainer, data, cohort_size) < SHORT_ROUND
    mesh = None if alone else Mesh(np.array(devices[:count]), (CLIENTS,))
    return vectorised_engine(trainer, data, seed, reducer, cohort_size, memory_limit_mb, mesh)


def split_cpu(num_devices: int = 0) -> None:
    """Make JAX see the CPU as so many devices; must come before anything else uses JAX.

    Args:
        num_devices: 0 means as many as the cores that this process may use, unless JAX has used the
            CPU already.

    Raises:
        ConfigError: JAX has been used already and sees another number of devices than asked for.
    """
    try:
        jax.config.update("jax_num_cpu_devices", num_devices or num_cores())
    except RuntimeError:
        found = len(jax.devices("cpu"))
        if num_devices not in (0, found):
            raise ConfigError(
                f"this program has used JAX with {found} CPU devices already, {num_devices} are "
                "asked for; start a new one, or split the CPU before anything else"
            ) from None
