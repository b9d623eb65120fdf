"""Per-sample gradients beside an ordinary gradient step: `python -m benchmarks.fisher`.

QFedFisher's circuit, 10 qubits and 60 layers, batch 32. Prints medians in ms: loss and gradient of
the batch, the gradient of every sample from one adjoint pass, and sample by sample (`jax.vmap` of
`jax.grad`); and what a client's Fisher information adds to an epoch of local training, in percent.
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.timing import median_ms
from fedket.federated.fisher import FisherSettings, diagonal_fisher, per_sample_gradients
from fedket.federated.local import LocalTraining, local_train, masked_loss
from fedket.models.vqc import vqc
from fedket.quantum import ansatz
from fedket.types import Model

BATCH = 32


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--samples", type=int, default=600, help="samples of a client")
    parser.add_argument("--fisher-samples", type=int, default=48)
    options = parser.parse_args()
    model = vqc(ansatz.qfedfisher(10, 60), 10, readout="z")
    params = model.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.random((options.samples, 32, 32)), jnp.float32)
    y = jnp.asarray(rng.integers(0, 10, options.samples), jnp.int32)
    measure = partial(_measure, repeats=options.repeats)
    batch = params, x[:BATCH], y[:BATCH]
    step = measure(partial(_gradient, model), *batch)
    fast = measure(partial(per_sample_gradients, model), *batch)
    slow = measure(partial(per_sample_gradients, Model(model.init, model.apply)), *batch)
    print(f"gradient step {step:.1f} ms, per sample {fast:.1f} ms, one by one {slow:.1f} ms")
    training = LocalTraining(optax.adam(0.01), batch_size=BATCH)
    settings = FisherSettings(num_samples=options.fisher_samples, batch_size=BATCH)
    mask, key = jnp.ones(options.samples, bool), jax.random.key(1)
    state = training.optimizer.init(params)
    client = params, state, x, y, mask, key
    epoch = measure(partial(local_train, model, training, 0.0), *client)
    fisher = measure(partial(diagonal_fisher, settings, model), params, x, y, mask, key)
    print(
        f"epoch of {options.samples} samples {epoch:.0f} ms, Fisher information of "
        f"{options.fisher_samples or options.samples} {fisher:.0f} ms: {100 * fisher / epoch:.1f} %"
    )


def _gradient(model: Model, params: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    mask = jnp.ones(len(y), bool)
    return jax.grad(lambda w: masked_loss(model.apply(w, x), y, mask))(params)


def _measure(function, *args, repeats):  # type: ignore[no-untyped-def]
    compiled = jax.jit(function)
    return median_ms(lambda: jax.block_until_ready(compiled(*args)), repeats)


if __name__ == "__main__":
    main()
