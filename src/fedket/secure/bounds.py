"""Contributions whose leaves differ in range, through a quantiser that knows a single clip.

The quantiser takes values v_i with abs(v_i) <= p_i·c, p_i the client's share. A strategy may add
leaves that are not weighted, or have a limit of their own. Every leaf is therefore multiplied by a
public factor before, and its sum divided by the same factor after; all clients get equal shares
1/K, so that each may use the K-th part of a word's range:

weighted leaf, abs(v_i) <= p_i·b      factor c / (K · max p · b)
unweighted leaf, abs(v_i) <= b        factor c / (K · b)
"""

from typing import Any

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
    if all(bound == Bound(clip) for bound in jax.tree.leaves(bounds, is_leaf=_is_bound)):
        return reducer

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        num_clients = len(context.client_ids)
        largest = max(context.weights)

        def factor(bound: Bound) -> float:
            return clip / (num_clients * bound.limit * (largest if bound.weighted else 1))

        factors = jax.tree.map(factor, bounds, is_leaf=_is_bound)
        equal = context._replace(weights=(1 / num_clients,) * num_clients)
        total, traffic = reducer(_times(factors, contributions), equal)
        return _times(jax.tree.map(lambda f: 1 / f, factors), total), traffic

    return reduce


def _is_bound(node: object) -> bool:
    return isinstance(node, Bound)


def _times(factors: Any, tree: Any) -> Any:
    """Multiply each leaf by its factor; `factors` is a tree prefix of `tree`."""
    return jax.tree.map(lambda f, sub: jax.tree.map(lambda leaf: leaf * f, sub), factors, tree)
