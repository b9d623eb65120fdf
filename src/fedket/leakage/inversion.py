"""Gradient inversion: samples whose gradient points where what was seen points.

Geiping et al. 2020 (arXiv:2003.14053, eq. 4): minimise 1 − cos(∇L(x̂), seen) by Adam on the signs
of its gradient, within the range of the features. Labels are taken as known, which helps the
attacker; their image prior (total variation) is left out, since features need not be images.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int
from scipy.optimize import linear_sum_assignment

from fedket.federated.losses import Loss
from fedket.federated.program import Program
from fedket.leakage.views import TINY, Vectors, client_gradients
from fedket.types import Model, Params

Samples = Float[Array, "views samples *features"]
Searched = tuple[Array, optax.OptState]
"""Samples in 0..1, and the optimiser's state."""


class Inversion(NamedTuple):
    """How hard an attacker tries.

    Attributes:
        steps: Of Adam.
        learning_rate: In parts of the features' range; falls to a tenth along a cosine.
        restarts: Random starts; the one with the best cosine is kept.
    """

    steps: int = 400
    learning_rate: float = 0.05
    restarts: int = 2


def invert_gradients(
    model: Model,
    loss: Loss,
    params: Params,
    seen: Vectors,
    y: Int[Array | np.ndarray, "views samples"],
    bounds: tuple[Array | np.ndarray, Array | np.ndarray],
    rng: Array,
    effort: Inversion = Inversion(),  # noqa: B008 - immutable
) -> Samples:
    """Samples read out of each view.

    Args:
        model: What was trained; its gradient is differentiated in the samples.
        loss: (logits, labels) -> loss of each sample.
        params: The model that clients were sent.
        seen: A gradient, or a sum of some, with or without noise, per view.
        y: Labels of all samples in each view.
        bounds: Smallest and largest value of each feature, shaped like a sample.
        rng: Decides the starts.
        effort: How hard is tried.
    """
    low, high = (jnp.asarray(bound, seen.dtype) for bound in bounds)
    attempt = Program(_attempt, (model, loss, effort))  # compiled once for views of a shape
    shape = (*y.shape, *low.shape)
    found = [
        attempt(params, low, high, seen, y, jax.random.uniform(key, shape, seen.dtype))
        for key in jax.random.split(rng, effort.restarts)
    ]
    guesses, distances = (jnp.stack(part) for part in zip(*found, strict=True))
    best = distances.argmin(axis=0)
    return guesses[best, jnp.arange(len(seen))]


def _attempt(
    bound: tuple[Model, Loss, Inversion],
    params: Params,
    low: Array,
    high: Array,
    seen: Vectors,
    y: Array,
    starts: Array,
) -> tuple[Array, Array]:
    """Samples found from one start for each view, and how far their gradients are from it."""
    model, loss, effort = bound
    decay = optax.cosine_decay_schedule(effort.learning_rate, effort.steps, alpha=0.1)
    optimizer = optax.adam(decay)

    def distance(unit: Array, seen: Array, y: Array) -> Array:
        x = low + (high - low) * unit
        gradient = client_gradients(model, loss, params, x[None], y[None])[0]
        norms = jnp.linalg.norm(gradient) * jnp.linalg.norm(seen)
        return 1 - gradient @ seen / jnp.maximum(norms, TINY)

    def search(seen: Array, y: Array, start: Array) -> tuple[Array, Array]:
        def step(carry: Searched, _: None) -> tuple[Searched, None]:
            unit, state = carry
            gradient = jax.grad(distance)(unit, seen, y)
            updates, state = optimizer.update(jnp.sign(gradient), state)
            return (jnp.clip(unit + updates, 0, 1), state), None

        (unit, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), length=effort.steps)
        return low + (high - low) * unit, distance(unit, seen, y)

    found: tuple[Array, Array] = jax.lax.map(lambda view: search(*view), (seen, y, starts))
    return found


def match_guesses(
    guesses: Float[np.ndarray, "samples *features"],
    truth: Float[np.ndarray, "samples *features"],
    labels: Int[np.ndarray, " samples"],
) -> Float[np.ndarray, "samples *features"]:
    """The guess for each true sample: guesses of a label come in any order, the best is taken."""
    allowed = np.where(labels[:, None] == labels, cosine(truth, guesses), -2)
    return guesses[linear_sum_assignment(-allowed)[1]]


def cosine(
    a: Float[np.ndarray, "m *features"], b: Float[np.ndarray, "n *features"]
) -> Float[np.ndarray, "m n"]:
    """Cosines of all pairs of samples; from samples less their mean it is their correlation."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    norms = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
    cosines: np.ndarray = (a @ b.T) / np.maximum(norms, np.finfo(float).tiny)
    return cosines
