"""What a federation begins with: samples where they are read, the model, what clients keep."""

import jax
import jax.numpy as jnp

from fedket.data.batches import pack_partition, shared_length
from fedket.federated.trainer import ClientTrainer, Kept, TrainingData, kept_at_first
from fedket.rng import Purpose, rng_for
from fedket.types import Dataset, Model, Params, Partition


def on_device(dataset: Dataset, partition: Partition, dtype: str) -> tuple[TrainingData, int]:
    """The training samples, who holds which, and the length that clients are padded to."""
    packed = pack_partition(partition)
    arrays = packed._replace(
        indices=jnp.asarray(packed.indices),
        offsets=jnp.asarray(packed.offsets),
        num_samples=jnp.asarray(packed.num_samples),
    )
    x, y = jnp.asarray(dataset.x_train, dtype), jnp.asarray(dataset.y_train)
    return TrainingData(x, y, arrays), shared_length(packed.num_samples)


def initial_params(model: Model, seed: int, dtype: str) -> Params:
    """The global model before the first round, the same wherever it is worked out."""
    params = model.init(rng_for(seed, Purpose.INIT))
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params)


def kept_by_all(trainer: ClientTrainer, num_clients: int, params: Params) -> Kept:
    """What all clients keep before the first round."""
    kept: Kept = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (num_clients, *leaf.shape)),
        kept_at_first(trainer, params),
    )
    return kept
