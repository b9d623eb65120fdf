"""Client drift: how long clients' updates are, and how far they agree with their mean.

On data that differ from client to client, local training pulls apart (Karimireddy et al. 2020,
arXiv:1910.06378): updates whose cosine with the mean update is small cancel each other. It takes
single updates, which only a simulation sees, whatever the aggregation shows a server.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from fedket.record import ClientDrift
from fedket.types import Params

UNSEEN = (
    "federation.drift compares single updates, which sites keep to themselves; leave it out, or "
    "simulate the clients"
)


class Drift(NamedTuple):
    """Of each client: L2 norm of its update, all parameters, and cosine with the mean update."""

    norm: Float[Array, " clients"]
    cosine: Float[Array, " clients"]


def measure_drift(
    updates: Params,
    weights: Float[Array | np.ndarray, " clients"],
    finite: Bool[Array | np.ndarray, " clients"],
) -> Drift:
    """Compare updates with their mean; traceable.

    Args:
        updates: Trained parameters minus those that training began from, leaves (clients, ...).
        weights: Shares in the mean; clients with 0 are not in it.
        finite: Those that are not are left out likewise.
    """
    kept = finite & (weights > 0)
    flat = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(updates)]
    rows = jnp.concatenate([jnp.where(kept[:, None], leaf, 0) for leaf in flat], axis=1)
    mean = jnp.where(kept, weights, 0) @ rows
    norms = jnp.linalg.norm(rows, axis=1)
    return Drift(norms, rows @ mean / (norms * jnp.linalg.norm(mean)))


def drift_by_client(drift: Drift | None, ids: np.ndarray) -> dict[int, ClientDrift]:
    """What the record holds of clients; those whose update is not in the mean are left out."""
    if drift is None:
        return {}
    rows = zip(np.asarray(ids).tolist(), *map(np.asarray, drift), strict=True)
    return {
        client: ClientDrift(norm=float(norm), cosine=float(cosine))
        for client, norm, cosine in sorted(rows)
        if norm > 0
    }
