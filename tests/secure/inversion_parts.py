"""An attacker who reads inputs out of updates: gradient inversion of a small quantum network.

A client takes one step of SGD on one sample of four angles; the attacker knows the network, the
global parameters and the learning rate, and looks for the sample (and label) whose update points
the same way as what it saw (Geiping et al., arXiv:2003.14053), by random search that narrows down.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fedket.federated.local import LocalTraining, local_train
from fedket.models.vqc import vqc
from fedket.quantum.ansatz import qunetqfl

NUM_FEATURES = 4
LEARNING_RATE = 0.1
MODEL = vqc(qunetqfl(NUM_FEATURES, 3), 2, encoding="angle", logit_scale=2.0, init_std=1.0)
TRAINING = LocalTraining(optax.sgd(LEARNING_RATE), batch_size=1)
CANDIDATES, STEPS = 128, 12


@jax.jit
def updates(params, x, y):
    """Each client's update after a step on its one sample, shapes (n, 4), (n,) -> (n, values)."""

    def one(x, y):
        state = TRAINING.optimizer.init(params)
        rest = (jnp.zeros(1, jnp.int32), jnp.ones(1, bool), jax.random.key(0))
        result = local_train(MODEL, TRAINING, None, params, state, x[None], y[None], *rest)
        return (result.params - params).reshape(-1)

    return jax.vmap(one)(x, y)


def victims(num_clients, seed=0):
    """Global parameters, and everybody's sample: angles in 0.2..2.9, label 0 or 1."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.2, 2.9, (num_clients, NUM_FEATURES)).astype(np.float32)
    y = rng.integers(0, 2, num_clients, dtype=np.int32)
    return MODEL.init(jax.random.key(seed)), x, y


def invert(params, seen, seed=1):
    """Return the samples that the attacker reads out of what it saw, (n, values) -> (n, 4)."""
    guesses = [_search(params, seen, label, seed) for label in (0, 1)]
    better = guesses[0][1] > guesses[1][1]
    return np.where(better[:, None], guesses[0][0], guesses[1][0])


def correlation(guesses, truth):
    """Of the features with the truth's, over all victims; 0 by chance, about +-1/sqrt(4 n)."""
    return float(np.corrcoef(guesses.reshape(-1), truth.reshape(-1))[0, 1])


def _search(params, seen, label, seed):
    """Return the best samples of a label, and the cosines of their updates with what was seen."""
    rng, num_seen = np.random.default_rng(seed), len(seen)
    tried = rng.uniform(0, np.pi, (num_seen, CANDIDATES, NUM_FEATURES))
    for step in range(STEPS):
        cosines = np.asarray(_cosines(params, tried.astype(np.float32), label, seen))
        best = np.take_along_axis(tried, cosines.argmax(1)[:, None, None], 1)
        width = np.pi * 0.5 ** (step + 1)
        around = best + width * rng.normal(size=tried.shape)
        tried = np.concatenate([best, np.clip(around, 0, np.pi)[:, 1:]], 1)
    return best[:, 0], cosines.max(1)


@jax.jit
def _cosines(params, tried, label, seen):
    x = tried.reshape(-1, NUM_FEATURES)
    logits, pull_back = MODEL.per_sample_vjp(params, x)
    wanted = jax.nn.one_hot(jnp.full(len(x), label), 2)
    gradients = pull_back(jax.nn.softmax(logits) - wanted)  # of the cross-entropy
    found = -LEARNING_RATE * gradients.reshape(*tried.shape[:2], -1)
    norms = jnp.linalg.norm(found, axis=-1) * jnp.linalg.norm(seen, axis=-1)[:, None] + 1e-12
    return jnp.einsum("nck,nk->nc", found, seen) / norms
