"""A federation of quadratics whose every local step can be worked out by hand.

Client i's loss is ½ Σ_j a_ij (w_j − b_ij)²; all of its samples are alike, so that batches do not
matter. The minimum of the plain mean of the losses is Σ a_i b_i / Σ a_i.
"""

import jax.numpy as jnp
import numpy as np
import optax

from fedket.federated.federation import make_federation
from fedket.federated.local import LocalTraining
from fedket.types import Dataset, Model

CURVATURE = np.array([[1.0, 0.2], [0.3, 2.0], [3.0, 1.0], [0.5, 0.6]])
CENTRE = np.array([[2.0, -1.0], [-1.0, 3.0], [0.5, 0.0], [-3.0, 1.0]])
OPTIMUM = (CURVATURE * CENTRE).sum(axis=0) / CURVATURE.sum(axis=0)
SIZES = (4, 8, 2, 6)
RATE, EPOCHS, BATCH = 0.1, 2, 2
STEPS = tuple(EPOCHS * size // BATCH for size in SIZES)
START = np.array([1.0, -0.5])


def half_square(logits, _labels):
    return 0.5 * jnp.sum(logits**2, axis=-1)


def apply(params, x, rng=None):
    return jnp.sqrt(x[:, :2]) * (params - x[:, 2:])


MODEL = Model(lambda rng: jnp.asarray(START), apply)


def quadratics(strategy, sizes=SIZES, **options):
    """The federation; keyword arguments go to `make_federation`."""
    rows = np.repeat(np.hstack([CURVATURE, CENTRE]), sizes, axis=0).astype(np.float32)
    labels = np.zeros(len(rows), np.int32)
    dataset = Dataset("quadratics", rows, labels, rows[:1], labels[:1], 2)
    partition = np.split(np.arange(len(rows)), np.cumsum(sizes)[:-1])
    training = LocalTraining(optax.sgd(RATE), EPOCHS, BATCH, loss=half_square)
    return make_federation(MODEL, dataset, partition, strategy, training, **options)


def descend(client, start, num_steps, shift=0.0, pull=0.0, anchor=None):
    """Gradient descent on a client's loss + shift·w + pull/2·|w − anchor|², in NumPy."""
    w, anchor = start, start if anchor is None else anchor
    for _ in range(num_steps):
        gradient = CURVATURE[client] * (w - CENTRE[client])
        w = w - RATE * (gradient + shift + pull * (w - anchor))
    return w
