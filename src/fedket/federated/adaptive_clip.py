"""A clip that follows a quantile of the updates' norms (Andrew et al. 2021, arXiv:1905.03871).

A strategy around another one. Clients are sent the clip C; they scale what they contribute so that
its norm is at most 1, whatever C is, and add one number, b − ½ times v, where b says whether
the norm was within C. The noise on the sum covers both, if it is that of a mechanism whose clip is
√(1 + v²/4), the largest norm of all together. The server scales back, and sets

C ← C·exp(−η(b̄ − γ)), b̄ the noised share of clients within C and γ the quantile.

Norms are those of unweighted contributions whose leaves are brought to a common size by the
strategy's bounds at the first clip. The paper's b has noise of its own; here it is one coordinate
more, which costs 3 % more noise on all of them.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from fedket.federated.program import Number
from fedket.types import Bound, Broadcast, ClientResult, Contribution, Params, ServerState, Strategy


class ClipState(NamedTuple):
    """What the server keeps.

    Attributes:
        clip: C.
        inner: State of the strategy.
    """

    clip: Float[Array, ""]
    inner: ServerState


def adaptive_clip(
    strategy: Strategy, start: float, vote: float, quantile: float = 0.5, rate: float = 0.2
) -> Strategy:
    """Return the strategy with a clip that follows the norms; its own metrics are left out.

    Args:
        strategy: What is clipped.
        start: C of the first round.
        vote: v.
        quantile: γ, share of clients that shall be within the clip.
        rate: η.
    """
    memory = strategy.memory
    if memory is not None:
        correct = memory.correct and Partial(_correct, memory.correct)
        memory = memory._replace(update=Partial(_update, memory.update), correct=correct)

    def even(tree: Contribution, clip: Array, *, back: bool = False) -> Contribution:
        """Leaves of a common size, over the clip; or back."""
        size = sum(leaf.size for leaf in jax.tree.leaves(tree))
        typical = start / math.sqrt(size)

        def one(bound: Bound, leaf: Array) -> Array:
            factor = typical / bound.limit / clip
            return leaf / factor if back else leaf * factor

        return _each(one, strategy.bounds(typical), tree)

    def contribute(params: Params, result: ClientResult) -> Contribution:
        clip, extra = result.extra
        scaled = even(strategy.contribute(params, result._replace(extra=extra)), clip)

        def unweighted(bound: Bound, leaf: Array) -> Array:
            return leaf / result.weight if bound.weighted else leaf

        alone = _each(unweighted, strategy.bounds(1.0), scaled)
        length = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(alone)))
        shorter = jax.tree.map(lambda leaf: leaf / jnp.maximum(1, length), scaled)
        said = jnp.where(length <= 1, vote / 2, -vote / 2).astype(clip.dtype)
        return {"update": shorter, "within": result.weight * said}

    def apply(state: ClipState, params: Params, total: Contribution) -> tuple[ClipState, Params]:
        made = even(total["update"], state.clip, back=True)
        inner, params = strategy.apply(state.inner, params, made)
        clip = state.clip * jnp.exp(-rate * (_share_within(vote, total) - quantile))
        return ClipState(clip, inner), params

    def bounds(limit: float) -> dict[str, Any]:
        def same(bound: Bound) -> Bound:
            return Bound(limit, bound.weighted)

        inner = jax.tree.map(same, strategy.bounds(1.0), is_leaf=_is_bound)
        return {"update": inner, "within": Bound(limit)}

    return strategy._replace(
        init=Partial(_init, strategy.init, start),
        contribute=contribute,
        apply=apply,
        bounds=bounds,
        metrics=Partial(_metrics, vote),
        broadcast=Partial(_broadcast, strategy.broadcast),
        memory=memory,
    )


def _init(inner: Any, start: Number, params: Params) -> ClipState:
    dtype = jax.tree.leaves(params)[0].dtype
    return ClipState(jnp.asarray(start, dtype), inner(params))


def _broadcast(inner: Any, state: ClipState, params: Params) -> Broadcast:
    return Broadcast(params, (state.clip, inner(state.inner, params).extra))


def _inner(sent: Broadcast) -> Broadcast:
    return sent._replace(extra=sent.extra[1])


def _update(inner: Any, sent: Broadcast, result: ClientResult, retrain: Any) -> Any:
    return inner(_inner(sent), result._replace(extra=sent.extra[1]), retrain)


def _correct(inner: Any, sent: Broadcast, *rest: Any) -> Params:
    return inner(_inner(sent), *rest)


def _share_within(vote: Number, total: Contribution) -> Float[Array, ""]:
    """b̄, as noise has it: below 0 and above 1, too."""
    share: Float[Array, ""] = total["within"] / vote + 0.5
    return share


def _metrics(vote: Number, total: Contribution) -> dict[str, Float[Array, ""]]:
    return {"within_clip": _share_within(vote, total)}


def _each(function: Callable[[Bound, Array], Array], bounds: Any, tree: Any) -> Any:
    """A function of each leaf and its bound; `bounds` is a prefix of the tree."""

    def below(bound: Bound, subtree: Any) -> Any:
        return jax.tree.map(partial(function, bound), subtree)

    return jax.tree.map(below, bounds, tree, is_leaf=_is_bound)


def _is_bound(node: object) -> bool:
    return isinstance(node, Bound)
