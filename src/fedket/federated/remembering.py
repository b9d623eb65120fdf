"""A strategy that also keeps the last round's sum, for reducers that start from it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from fedket.federated.trainer import contribution_shape
from fedket.types import Broadcast, Contribution, Params, ServerState, Strategy


class Remembered(NamedTuple):
    """Server state of a strategy, and the sum that it was given last; zero before the first."""

    inner: ServerState
    last: Contribution


def remembering(strategy: Strategy) -> Strategy:
    """Return the same strategy, whose state also holds the last sum: it is in checkpoints."""
    return strategy._replace(
        init=Partial(_init, strategy),
        apply=Partial(_apply, strategy.apply),
        broadcast=Partial(_broadcast, strategy.broadcast),
        recall=_last,
    )


def _init(strategy: Strategy, params: Params) -> Remembered:
    one = contribution_shape(strategy, params)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), one)
    return Remembered(strategy.init(params), nothing)


def _apply(
    apply: Any, state: Remembered, params: Params, total: Contribution
) -> tuple[Remembered, Params]:
    inner, params = apply(state.inner, params, total)
    return Remembered(inner, total), params


def _broadcast(broadcast: Any, state: Remembered, params: Params) -> Broadcast:
    sent: Broadcast = broadcast(state.inner, params)
    return sent


def _last(state: Remembered) -> Contribution:
    return state.last
