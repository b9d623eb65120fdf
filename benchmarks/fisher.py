"""Per-sample gradients beside an ordinary gradient step: `python -m benchmarks.fisher`.

QFedFisher's circuit, 10 qubits and 60 layers, batch 32. `step`, in ms: loss and gradient of the
batch, the gradient of every sample from one adjoint pass, and sample by sample (`jax.vmap` of
`jax.grad`). `client`: an epoch of a client's 600 samples, its Fisher information of 48 of them, and
what that adds to the epoch, in percent.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import run
from benchmarks.timing import median_ms
from fedket.federated.fisher import FisherSettings, diagonal_fisher, per_sample_gradients
from fedket.federated.local import LocalTraining, local_train, masked_loss
from fedket.models.vqc import vqc
from fedket.quantum import ansatz
from fedket.types import Model

BATCH, SAMPLES, FISHER_SAMPLES = 32, 600, 48


def measure_step() -> dict[str, Any]:
    """Time a step and the two ways to gradients of single samples."""
    model, params, x, y = _client()
    batch = params, x[:BATCH], y[:BATCH]
    by_sample = Model(model.init, model.apply)
    return {
        "step_ms": _ms(partial(_gradient, model), *batch),
        "per_sample_ms": _ms(partial(per_sample_gradients, model), *batch),
        "one_by_one_ms": _ms(partial(per_sample_gradients, by_sample), *batch),
    }


def measure_client() -> dict[str, Any]:
    """Time an epoch and the Fisher information after it."""
    model, params, x, y = _client()
    training = LocalTraining(optax.adam(0.01), batch_size=BATCH)
    settings = FisherSettings(num_samples=FISHER_SAMPLES, batch_size=BATCH)
    rows, mask, key = jnp.arange(SAMPLES), jnp.ones(SAMPLES, bool), jax.random.key(1)
    state = training.optimizer.init(params)
    epoch = _ms(partial(local_train, model, training, 0.0), params, state, x, y, rows, mask, key)
    fisher = _ms(partial(diagonal_fisher, settings, model), params, x, y, mask, key)
    return {"epoch_ms": epoch, "fisher_ms": fisher, "added_percent": 100 * fisher / epoch}


def _client() -> tuple[Model, jax.Array, jax.Array, jax.Array]:
    """The model, its angles and a client's samples and labels."""
    model = vqc(ansatz.qfedfisher(10, 60), 10, readout="z")
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.random((SAMPLES, 32, 32)), jnp.float32)
    y = jnp.asarray(rng.integers(0, 10, SAMPLES), jnp.int32)
    return model, model.init(jax.random.key(0)), x, y


def _gradient(model: Model, params: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    mask = jnp.ones(len(y), bool)
    return jax.grad(lambda w: masked_loss(model.apply(w, x), y, mask))(params)


def _ms(function, *args):  # type: ignore[no-untyped-def]
    compiled = jax.jit(function)
    return median_ms(lambda: jax.block_until_ready(compiled(*args)))


if __name__ == "__main__":
    run.main(__doc__, "fisher", {"step": measure_step, "client": measure_client})
