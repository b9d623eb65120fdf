"""Random-k sparsification: a round sends a part of the coordinates, chosen by a public seed.

The choice does not depend on the updates, as top-k would, so it tells nothing about them.
"""

import hashlib
from math import ceil

import jax
import jax.numpy as jnp
import numpy as np

from fedket.traffic import Traffic
from fedket.types import Contribution, Reducer, RoundContext


def kept_values(num_values: int, fraction: float) -> int:
    """Return how many of a leaf's values are sent; at least 1."""
    return max(1, ceil(num_values * fraction - 1e-9))


def random_k(reducer: Reducer, fraction: float) -> Reducer:
    """Return the reducer that sums a random part of each leaf; the sum is 0 elsewhere.

    Not rescaled: over rounds every coordinate is updated `fraction` of the time.

    Args:
        reducer: Sums what is sent.
        fraction: Share of each leaf's coordinates, in (0, 1].
    """

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        leaves, structure = jax.tree.flatten(contributions)
        flat = [jnp.reshape(leaf, (leaf.shape[0], -1)) for leaf in leaves]
        chosen = [_choose(context, i, one.shape[1], fraction) for i, one in enumerate(flat)]
        parts = [one[:, index] for one, index in zip(flat, chosen, strict=True)]
        total, traffic = reducer(jax.tree.unflatten(structure, parts), context)
        whole = [
            jnp.zeros(leaf[0].size, leaf.dtype).at[index].set(part).reshape(leaf.shape[1:])
            for leaf, index, part in zip(leaves, chosen, jax.tree.leaves(total), strict=True)
        ]
        return jax.tree.unflatten(structure, whole), traffic

    return reduce


def _choose(context: RoundContext, leaf: int, num_values: int, fraction: float) -> np.ndarray:
    """Return ascending indices, the same for everybody who knows seed and round."""
    text = f"fedket random-k of leaf {leaf} in round {context.round_num} of seed {context.seed}"
    entropy = int.from_bytes(hashlib.sha256(text.encode()).digest())
    kept = kept_values(num_values, fraction)
    index = np.random.default_rng(entropy).choice(num_values, kept, replace=False)
    return np.sort(index).astype(np.int32)
