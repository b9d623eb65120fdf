"""Clients dealt to several devices: GPUs, or the cores of one CPU as devices of their own.

In processes that were joined by `jax.distributed`, the devices of all of them.
"""

import os
from math import gcd

import jax
import numpy as np
from jax.sharding import Mesh

from fedket.cores import has_avx512, num_cores
from fedket.errors import ConfigError
from fedket.federated.placement import BATCH, CLIENTS
from fedket.federated.trainer import ClientTrainer, Engine, TrainingData
from fedket.federated.vectorised import round_work, vectorised_engine
from fedket.quantum.native import kernels
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

    One core per client at most; they read the same samples. The batches of a single client's
    circuit are split over the cores, unless compiled kernels share them. One device, as
    `vectorised_engine`, if a round is too short to be worth waking others, on a GPU, if JAX has
    begun to use the CPU before `split_cpu`, and in each of several processes.
    """
    devices = jax.devices()
    alone = len(devices) < 2 or devices[0].platform != "cpu" or jax.process_count() > 1
    mesh = None
    if not alone and round_work(trainer, data, cohort_size) >= SHORT_ROUND:
        if cohort_size > 1:
            mesh = Mesh(np.array(devices[:cohort_size]), (CLIENTS,))
        elif _splits(trainer) and (parts := gcd(len(devices), trainer.training.batch_size)) > 1:
            mesh = Mesh(np.array(devices[:parts]), (BATCH,))
    return vectorised_engine(trainer, data, seed, reducer, cohort_size, memory_limit_mb, mesh)


def _splits(trainer: ClientTrainer) -> bool:
    """Whether a single client's batch is better split: compiled kernels share it themselves.

    Only where a circuit runs once per sample, and draws nothing.
    """
    model = trainer.model
    runs_per_sample = model.circuit is not None and model.plain_network is None
    exact = trainer.training.gradient is None and model.noise is None and model.shots is None
    return kernels() is None and runs_per_sample and exact and model.device is None


VECTOR_WIDTH = "xla_cpu_prefer_vector_width"
"""XLA's flag for the bits of a vector."""


def split_cpu(num_devices: int = 0) -> None:
    """Make JAX see the CPU as so many devices; must come before anything else uses JAX.

    Without compiled kernels XLA is told to use all of a CPU's 512-bit vectors, too: it takes half
    of them unless asked, with which circuits take a third longer.

    Args:
        num_devices: 0 means as many as the cores that this process may use, unless JAX has used the
            CPU already.

    Raises:
        ConfigError: JAX has been used already and sees another number of devices than asked for.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if kernels() is None and has_avx512() and VECTOR_WIDTH not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --{VECTOR_WIDTH}=512".strip()
    try:
        jax.config.update("jax_num_cpu_devices", num_devices or num_cores())
    except RuntimeError:
        found = len(jax.devices("cpu"))
        if num_devices not in (0, found):
            raise ConfigError(
                f"this program has used JAX with {found} CPU devices already, {num_devices} are "
                "asked for; start a new one, or split the CPU before anything else"
            ) from None
