"""Membership inference: was a sample among those that what was seen was trained on?

The score of a sample is the cosine of its own gradient with what was seen: members' are larger
(Li, Li and Ribeiro, Effective Passive Membership Inference Attacks, ICLR 2023).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from sklearn.metrics import roc_auc_score

from fedket.federated.fisher import per_sample_gradients
from fedket.federated.losses import Loss
from fedket.leakage.views import TINY, Vectors
from fedket.types import Model, Params


def gradient_scores(
    model: Model,
    loss: Loss,
    params: Params,
    seen: Vectors,
    x: Float[Array, "samples *features"],
    y: Int[Array, " samples"],
) -> Float[Array, "views samples"]:
    """Cosine of each sample's gradient with each view."""
    gradients = per_sample_gradients(model, params, x, y, loss)
    own = jnp.concatenate([g.reshape(len(y), -1) for g in jax.tree.leaves(gradients)], axis=1)
    norms = jnp.linalg.norm(seen, axis=1)[:, None] * jnp.linalg.norm(own, axis=1)
    return seen @ own.T / jnp.maximum(norms, TINY)


def auc(members: Float[np.ndarray, " members"], others: Float[np.ndarray, " others"]) -> float:
    """Chance that a member scores higher than another: 1/2 is a guess, 1 is certainty."""
    truth = np.repeat([1, 0], [len(members), len(others)])
    return float(roc_auc_score(truth, np.concatenate([members, others])))
