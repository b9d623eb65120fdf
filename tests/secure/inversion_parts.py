"""Clients of a small quantum network, whose samples are read out of their updates."""

import jax
import jax.numpy as jnp
import numpy as np

from fedket.federated.losses import cross_entropy
from fedket.leakage import Inversion, client_gradients, invert_gradients
from fedket.models.vqc import vqc
from fedket.quantum.ansatz import qunetqfl

NUM_FEATURES = 4
LEARNING_RATE = 0.1
MODEL = vqc(qunetqfl(NUM_FEATURES, 3), 2, encoding="angle", logit_scale=2.0, init_std=1.0)
EFFORT = Inversion(steps=100, restarts=3)


@jax.jit
def updates(params, x, y):
    """Each client's update after a step on its one sample, shapes (n, 4), (n,) -> (n, values)."""
    return -LEARNING_RATE * client_gradients(MODEL, cross_entropy, params, x[:, None], y[:, None])


def victims(num_clients, seed=0):
    """Global parameters, and everybody's sample: angles in 0.2..2.9, label 0 or 1."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.2, 2.9, (num_clients, NUM_FEATURES)).astype(np.float32)
    y = rng.integers(0, 2, num_clients, dtype=np.int32)
    return MODEL.init(jax.random.key(seed)), x, y


def invert(params, seen, y, seed=1):
    """Return the samples that the attacker reads out of what it saw, (n, values) -> (n, 4).

    `y` has the labels of all samples that are in what it saw, (n, samples); the first is returned.
    """
    bounds = np.zeros(NUM_FEATURES, np.float32), np.full(NUM_FEATURES, np.pi, np.float32)
    seen, rng = -jnp.asarray(seen), jax.random.key(seed)
    found = invert_gradients(MODEL, cross_entropy, params, seen, y, bounds, rng, EFFORT)
    return np.asarray(found)


def correlation(guesses, truth):
    """Of the features with the truth's, over all victims; 0 by chance, about +-1/sqrt(4 n)."""
    return float(np.corrcoef(guesses.reshape(-1), truth.reshape(-1))[0, 1])
