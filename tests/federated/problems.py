"""Small federations to compare engines, strategies and reducers on."""

import jax.numpy as jnp
import numpy as np
import optax

from fedket.federated.federation import make_federation
from fedket.federated.local import LocalTraining
from fedket.federated.strategies import fed_avg
from fedket.models.classical import mlp
from fedket.types import Dataset, Model

SIZES = (7, 19, 3, 12, 30)


def blobs(seed=0, poisoned=(), sizes=SIZES):
    """Two Gaussian classes dealt to clients of uneven size; poisoned clients' features are −99."""
    rng = np.random.default_rng(seed)
    total = sum(sizes)
    y = rng.integers(0, 2, total + 20).astype(np.int32)
    x = (rng.normal(size=(total + 20, 4)) + 2 * y[:, None]).astype(np.float32)
    partition = np.split(np.arange(total), np.cumsum(sizes)[:-1])
    for client in poisoned:
        x[partition[client]] = -99
    dataset = Dataset("blobs", x[:total], y[:total], x[total:], y[total:], 2)
    return dataset, partition


def poisonable(model: Model) -> Model:
    """The same model, but features of −99 turn its logits into NaN."""

    def apply(params, x, rng=None):
        logits = model.apply(params, x, rng)
        return jnp.where((x == -99).any(), jnp.nan, logits)

    return Model(model.init, apply)


def small_federation(poisoned=(), sizes=SIZES, **changes):
    """A federation of `blobs`; keyword arguments go to `make_federation`."""
    dataset, partition = blobs(poisoned=poisoned, sizes=sizes)
    options = {
        "strategy": fed_avg(),
        "training": LocalTraining(optax.adam(0.05), epochs=2, batch_size=8),
        "seed": 3,
    } | changes
    model = poisonable(mlp(4, 2, (5,)))
    return make_federation(model, dataset, partition, **options)


def run_rounds(federation, num_rounds):
    """State and records after some rounds."""
    state, records = federation.init(), []
    for _ in range(num_rounds):
        state, record = federation.run_round(state)
        records.append(record)
    return state, records
