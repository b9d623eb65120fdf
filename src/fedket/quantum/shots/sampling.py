"""How often each outcome is seen in a number of shots: exact multinomial draws."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

TREE_OUTCOMES = 64
"""Outcomes, of 6 qubits, up to which a tree of binomial draws is quick."""

TREE_SHOTS = 1024
"""Shots from which it beats one uniform number per shot."""

Probabilities = Float[Array, "batch outcomes"]


def sample_frequencies(rng: PRNGKeyArray, probs: Probabilities, shots: int) -> Probabilities:
    """Draw shots, for each row of probabilities by itself.

    Args:
        rng: Decides the outcomes.
        probs: Shape (batch, outcomes), the number of outcomes a power of two; rows sum to 1, but
            for rounding.
        shots: At least 1.

    Returns:
        Share of the shots that showed each outcome, same shape; not a number where `probs` is none.
    """
    probs = jnp.where(probs < 0, 0, probs)
    if uses_tree(probs.shape[1], shots):
        return _tree(rng, probs, shots) / shots
    return _inverse_cdf(rng, probs, shots) / shots


def uses_tree(outcomes: int, shots: int) -> bool:
    """Whether counts come from a tree of binomial draws, at a cost that no shot adds to."""
    return outcomes <= TREE_OUTCOMES and shots >= TREE_SHOTS


def _tree(rng: PRNGKeyArray, probs: Probabilities, shots: int) -> Probabilities:
    """Deal the shots out to halves of the outcomes, and so on."""
    batch, outcomes = probs.shape
    counts = jnp.full((batch, 1), shots, probs.dtype)
    for level in range(outcomes.bit_length() - 1):
        halves = probs.reshape(batch, 2**level, 2, -1).sum(axis=3)
        both = halves.sum(axis=2)
        share = jnp.clip(halves[:, :, 0] / jnp.where(both == 0, 1, both), 0, 1)
        first = jax.random.binomial(jax.random.fold_in(rng, level), counts, share)
        first = first.astype(probs.dtype)
        counts = jnp.stack([first, counts - first], axis=2).reshape(batch, -1)
    return counts


def _inverse_cdf(rng: PRNGKeyArray, probs: Probabilities, shots: int) -> Probabilities:
    """One uniform number per shot."""
    batch, outcomes = probs.shape
    heights = jnp.cumsum(probs, axis=1)
    drawn = jax.random.uniform(rng, (batch, shots), probs.dtype) * heights[:, -1:]

    def count(heights: Array, drawn: Array) -> Array:
        seen = jnp.searchsorted(heights, drawn, side="right", method="scan_unrolled")
        return jnp.zeros(outcomes, probs.dtype).at[jnp.minimum(seen, outcomes - 1)].add(1)

    return jax.vmap(count)(heights, drawn) + 0 * heights[:, -1:]  # what is no number stays none
