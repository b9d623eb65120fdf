"""Is the diagonal enough? `python -m benchmarks.full_fisher`.

A circuit small enough for the whole Fisher matrix (6 qubits, 3 layers, 36 angles) on the digits,
10 clients with skewed labels, all in every round. The same local training, three ways to average:

mean      Σ p_i w_i
diagonal  Σ diag(F_i)⊙w_i / Σ diag(F_i)
full      (Σ F_i)⁻¹ Σ F_i w_i

with F_i the empirical Fisher matrix over its trace, damped by a part of its mean diagonal entry.
Prints mean and standard deviation of the test accuracy over seeds.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fedket.data.batches import gather_padded, pack_partition
from fedket.data.partition import dirichlet
from fedket.data.sources import load_dataset
from fedket.federated.fisher import full_fisher
from fedket.federated.local import LocalTraining, local_train
from fedket.models.vqc import vqc
from fedket.quantum import ansatz
from fedket.types import Dataset

MODEL = vqc(ansatz.qfedfisher(6, 3), 10, readout="z_zz")
TRAINING = LocalTraining(optax.adam(0.02), epochs=2, batch_size=32)

Rule = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""(clients' angles, their Fisher matrices, shares of the samples) -> global angles."""


class Clients(NamedTuple):
    """Padded samples of all clients, and their shares."""

    x: jax.Array
    y: jax.Array
    mask: jax.Array
    weights: jax.Array


def mean(params: jax.Array, _: jax.Array, weights: jax.Array) -> jax.Array:
    """Weighted by samples."""
    return weights @ params


def diagonal(params: jax.Array, matrices: jax.Array, _: jax.Array) -> jax.Array:
    """Weighted by the diagonals of the matrices."""
    entries = jnp.diagonal(matrices, axis1=1, axis2=2)
    return (entries * params).sum(0) / entries.sum(0)


def full(params: jax.Array, matrices: jax.Array, _: jax.Array) -> jax.Array:
    """Weighted by the matrices."""
    return jnp.linalg.solve(matrices.sum(0), jnp.einsum("kij,kj->i", matrices, params))


RULES: dict[str, Rule] = {"mean": mean, "diagonal": diagonal, "full": full}


def main() -> None:
    """Run every rule with every seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--damping", type=float, nargs="+", default=[0.1])
    options = parser.parse_args()
    dataset = load_dataset("digits")
    for damping in options.damping:
        one_round = jax.jit(partial(_round, damping), static_argnums=0)
        for name, rule in RULES.items():
            if name == "mean" and damping != options.damping[0]:
                continue
            scores = [_run(one_round, rule, dataset, options, seed) for seed in options.seeds]
            print(
                f"damping {damping:<5g} {name:9s} {100 * np.mean(scores):5.1f} ± "
                f"{100 * np.std(scores, ddof=min(1, len(scores) - 1)):.1f} %",
                flush=True,
            )


def _run(
    one_round: Callable[..., jax.Array],
    rule: Rule,
    dataset: Dataset,
    options: argparse.Namespace,
    seed: int,
) -> float:
    rng = np.random.default_rng(seed)
    partition = dirichlet(
        dataset.y_train, num_clients=10, alpha=options.alpha, rng=rng, min_samples=10
    )
    # One length for all seeds, so that the round compiles once.
    packed = pack_partition(partition)
    padded = gather_padded(
        dataset.x_train, dataset.y_train, packed, np.arange(10, dtype=np.int32), max_samples=512
    )
    counts = padded[2].sum(1)
    clients = Clients(*padded, counts / counts.sum())
    params = MODEL.init(jax.random.key(seed))
    for round_num in range(options.rounds):
        key = jax.random.fold_in(jax.random.key(seed), round_num)
        params = one_round(rule, params, clients, key)
    logits = MODEL.apply(params, jnp.asarray(dataset.x_test))
    return float((logits.argmax(1) == dataset.y_test).mean())


def _round(
    damping: float, rule: Rule, params: jax.Array, clients: Clients, key: jax.Array
) -> jax.Array:
    def client(x: jax.Array, y: jax.Array, mask: jax.Array, key: jax.Array) -> jax.Array:
        state = TRAINING.optimizer.init(params)
        rows = jnp.arange(len(y))
        return local_train(MODEL, TRAINING, 0.0, params, state, x, y, rows, mask, key).params

    keys = jax.random.split(key, len(clients.x))
    trained = jax.vmap(client)(clients.x, clients.y, clients.mask, keys)
    matrices = jax.vmap(partial(full_fisher, MODEL))(trained, clients.x, clients.y, clients.mask)
    size = params.size
    scale = jnp.trace(matrices, axis1=1, axis2=2)[:, None, None]
    matrices = matrices / scale + damping / size * jnp.eye(size)
    flat = trained.reshape(len(trained), -1)
    return rule(flat, matrices, clients.weights).reshape(params.shape)


if __name__ == "__main__":
    main()
