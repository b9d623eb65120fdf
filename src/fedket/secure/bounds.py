"""Contributions whose leaves differ in range, through a quantiser that knows a single clip.

The quantiser takes values v_i with abs(v_i) <= p_i·c, p_i the client's share. A strategy may add
leaves that are not weighted, or have a limit of their own. Every leaf is therefore multiplied by a
public factor before, and its sum divided by the same factor after; all clients get equal shares
1/K, so that each may use the K-th part of a word's range:

weighted leaf, abs(v_i) <= p_i·b      factor c / (K · max p · b)
unweighted leaf, abs(v_i) <= b        factor c / (K · b)
"""

from typing import Any, NamedTuple

import jax

from fedket.types import Bound, Contribution, Reducer, RoundContext, Traffic


def bounded_sum(reducer: Reducer, bounds: Any, clip: float) -> Reducer:
    """Return a reducer for contributions within `bounds`.

    Args:
        reducer: One that clips a client's values to ±(its share)·`clip`.
        bounds: Tree prefix of the contribution with a `Bound` for each leaf.
        clip: The reducer's clip.

    Returns:
        `reducer` itself if all leaves are weighted and bounded by `clip`. Otherwise values beyond
        a limit are clipped there, those of a weighted leaf at the limit of the largest share.
    """
    if _is_plain(bounds, clip):
        return reducer

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        scale, equal = scaled(bounds, clip, context)
        total, traffic = reducer(scale.apply(contributions), equal)
        return scale.undo(total), traffic

    return reduce


class Scale(NamedTuple):
    """Public factors of a contribution's leaves, a tree prefix of it; None leaves it as it is."""

    factors: Any = None

    def apply(self, tree: Contribution) -> Contribution:
        """Multiply each leaf by its factor."""
        return tree if self.factors is None else _times(self.factors, tree)

    def undo(self, total: Contribution) -> Contribution:
        """Divide each leaf of a sum by its factor."""
        if self.factors is None:
            return total
        return _times(jax.tree.map(lambda f: 1 / f, self.factors), total)


def scaled(bounds: Any, clip: float, context: RoundContext) -> tuple[Scale, RoundContext]:
    """Return how a round's contributions are scaled, and the context with the shares they get.

    Args:
        bounds: As for `bounded_sum`.
        clip: The quantiser's clip.
        context: The round.
    """
    if _is_plain(bounds, clip):
        return Scale(), context
    num_clients, largest = len(context.client_ids), max(context.weights)

    def factor(bound: Bound) -> float:
        return clip / (num_clients * bound.limit * (largest if bound.weighted else 1))

    factors = jax.tree.map(factor, bounds, is_leaf=_is_bound)

    return Scale(factors), context._replace(weights=(1 / num_clients,) * num_clients)


def _is_plain(bounds: Any, clip: float) -> bool:
    """Whether all leaves are weighted and bounded by the clip."""
    return all(bound == Bound(clip) for bound in jax.tree.leaves(bounds, is_leaf=_is_bound))


def _is_bound(node: object) -> bool:
    return isinstance(node, Bound)


def _times(factors: Any, tree: Any) -> Any:
    """Multiply each leaf by its factor; `factors` is a tree prefix of `tree`."""
    return jax.tree.map(lambda f, sub: jax.tree.map(lambda leaf: leaf * f, sub), factors, tree)
