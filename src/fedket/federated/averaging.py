"""A strategy that also keeps a mean of the models along the server's path, to be evaluated beside.

Training does not see it: rounds are those of the strategy itself.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int
from pydantic import Field, model_validator

from fedket.errors import ConfigError
from fedket.federated.program import Number
from fedket.schema import Table
from fedket.types import Broadcast, Contribution, Params, ServerState, Strategy, model_alone

MAX_ROUNDS = 1000
"""Models that a tail mean holds, each in the checkpoint."""


MEAN_METRICS = ("averaged_test_loss", "averaged_test_accuracy")
"""What evaluations record of the mean."""


class Averaged(NamedTuple):
    """Server state of a strategy, what the mean is made of, and from how many rounds."""

    inner: ServerState
    kept: Params
    seen: Int[Array, ""]


class AveragingConfig(Table):
    """Mean of the models along the server's path; one of the two."""

    decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Exponential moving average: the mean keeps this share of itself, a round's model adds the
    rest. While that is more than 1 / rounds, it is the plain mean."""
    rounds: Annotated[int, Field(ge=2, le=MAX_ROUNDS)] | None = None
    """Tail mean: of the models of the last so many rounds."""

    @model_validator(mode="after")
    def _is_one(self) -> "AveragingConfig":
        if (self.decay is None) == (self.rounds is None):
            raise ConfigError("federation.averaging takes either `decay` or `rounds`")
        return self


def averaged(strategy: Strategy, decay: float | None = None, rounds: int | None = None) -> Strategy:
    """Return the same strategy, whose `average` is a mean of its models.

    Args:
        strategy: Of a federation with a server whose rounds wait for their cohort.
        decay: d: after round r the mean m is d'·m + (1 − d')·w with d' = min(d, (r − 1) / r).
        rounds: Instead, of the models of how many last rounds.

    Raises:
        ConfigError: Not one of the two.
    """
    AveragingConfig(decay=decay, rounds=rounds)
    keep: Any = Partial(_tail, rounds) if decay is None else Partial(_moving, decay)
    plain = strategy.broadcast is model_alone
    return strategy._replace(
        init=Partial(_init, strategy.init, rounds),
        apply=Partial(_apply, strategy.apply, keep),
        broadcast=model_alone if plain else Partial(_broadcast, strategy.broadcast),
        recall=strategy.recall and partial(_recall, strategy.recall),
        average=_mean_of_tail if decay is None else _moving_mean,
    )


def check_average(strategy: Strategy, *others: Any) -> None:
    """Raise `ConfigError` if a federation has an average, and something that it does not suit."""
    if strategy.average is not None and any(other is not None for other in others):
        raise ConfigError(
            "an average along the server's path needs a server whose rounds wait for their cohort; "
            "leave [graph] and [asynchronous], or federation.averaging, out"
        )


def _init(init: Any, rounds: int | None, params: Params) -> Averaged:
    kept = params
    if rounds is not None:
        kept = jax.tree.map(lambda leaf: jnp.zeros((rounds, *leaf.shape), leaf.dtype), params)
    return Averaged(init(params), kept, jnp.zeros((), jnp.int32))


def _apply(
    apply: Any, keep: Any, state: Averaged, params: Params, total: Contribution
) -> tuple[Averaged, Params]:
    inner, params = apply(state.inner, params, total)
    kept = jax.tree.map(partial(keep, state.seen), state.kept, params)
    return Averaged(inner, kept, state.seen + 1), params


def _moving(decay: Number, count: Int[Array, ""], mean: Array, new: Array) -> Array:
    share = jnp.minimum(decay, count / (count + 1)).astype(new.dtype)
    return share * mean + (1 - share) * new


def _tail(rounds: int, count: Int[Array, ""], window: Array, new: Array) -> Array:
    return window.at[count % rounds].set(new)


def _broadcast(broadcast: Any, state: Averaged, params: Params) -> Broadcast:
    sent: Broadcast = broadcast(state.inner, params)
    return sent


def _recall(recall: Any, state: Averaged) -> Contribution:
    return recall(state.inner)


def _moving_mean(state: Averaged) -> Params:
    return state.kept


def _mean_of_tail(state: Averaged) -> Params:
    def mean(window: Float[Array, "rounds ..."]) -> Array:
        return window.sum(axis=0) / jnp.clip(state.seen, 1, len(window)).astype(window.dtype)

    return jax.tree.map(mean, state.kept)
