"""Learning rates over rounds: what a round multiplies its local steps by.

A schedule is (round, from 1) -> factor. Its numbers are arguments of the compiled round, and so is
the round: no round compiles anew.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int
from pydantic import Field

from fedket.errors import UserCodeError
from fedket.federated.program import Number
from fedket.schema import NonNegativeInt, PositiveInt
from fedket.section import Context, Section

Factor = Float[Array, ""]
Schedule = Callable[[Int[Array, ""]], Factor]
"""Round, from 1 -> what updates of local steps are multiplied by."""


def scaled_updates(
    optimizer: optax.GradientTransformation, factor: Factor
) -> optax.GradientTransformationExtraArgs:
    """An optimiser whose updates, and so its learning rate, are multiplied by a factor."""
    inner = optax.with_extra_args_support(optimizer)

    def update(grads: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        updates, state = inner.update(grads, state, params, **extra)
        return jax.tree.map(lambda leaf: factor.astype(leaf.dtype) * leaf, updates), state

    return optax.GradientTransformationExtraArgs(inner.init, update)


def constant(elapsed: Factor) -> Factor:
    """1 at all times."""
    return jnp.ones_like(elapsed)


def cosine(rounds: Number, floor: Number, elapsed: Factor) -> Factor:
    """From 1 down to `floor` in `rounds` rounds (SGDR, arXiv:1608.03983, eq. 5)."""
    share = jnp.minimum(elapsed / rounds, 1.0)
    return floor + (1 - floor) * 0.5 * (1 + jnp.cos(jnp.pi * share))


def exponential(decay: Number, elapsed: Factor) -> Factor:
    """`decay` ** rounds."""
    return jnp.asarray(decay, elapsed.dtype) ** elapsed


def stepped(decay: Number, every: Number, elapsed: Factor) -> Factor:
    """Multiplied by `decay` after every so many rounds."""
    return exponential(decay, jnp.floor(elapsed / every))


def after_warm_up(
    warm_up: Number, then: Callable[[Factor], Factor], round_num: Int[Array, ""]
) -> Factor:
    """Round r of `warm_up` has factor r / warm_up; what follows begins with the round after.

    Args:
        warm_up: Rounds; 0 for none.
        then: Rounds since the first one after -> factor.
        round_num: From 1.
    """
    now = jnp.asarray(round_num, jnp.float32)
    rising = now / jnp.maximum(warm_up, 1.0)
    return jnp.where(now <= warm_up, rising, then(jnp.maximum(now - 1 - warm_up, 0.0)))


class ScheduleConfig(Section):
    """Base of the sections of `[schedule]`."""

    warmup_rounds: NonNegativeInt = 0
    """Rounds in which the factor first rises to 1."""

    def build(self, context: Context) -> Schedule:
        """The schedule."""
        return Partial(after_warm_up, float(self.warmup_rounds), self.course(context))

    def course(self, context: Context) -> Callable[[Factor], Factor]:
        """Rounds since the first one after the warm-up -> factor."""
        raise UserCodeError(f"{type(self).__name__} has no `course(self, context)`; define it")

    def spans_run(self) -> bool:
        """Whether it would be another one in a run of more rounds."""
        return False


class ConstantConfig(ScheduleConfig):
    """The same rate in all rounds, after the warm-up."""

    kind: Literal["constant"] = "constant"

    def course(self, context: Context) -> Callable[[Factor], Factor]:
        """1."""
        return constant


class CosineConfig(ScheduleConfig):
    """Half a cosine from the rate down to a part of it (arXiv:1608.03983)."""

    kind: Literal["cosine"] = "cosine"
    floor: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Factor at the end, and after it."""
    rounds: PositiveInt | None = None
    """Its length, warm-up not counted; absent means the run's, which then cannot go on for more."""

    def course(self, context: Context) -> Callable[[Factor], Factor]:
        """The cosine."""
        rounds = self.rounds or max(1, context.rounds - self.warmup_rounds)
        return Partial(cosine, float(rounds), self.floor)

    def spans_run(self) -> bool:
        """Whether its length is that of the run."""
        return self.rounds is None


class ExponentialConfig(ScheduleConfig):
    """The rate times `decay` from one round to the next."""

    kind: Literal["exponential"] = "exponential"
    decay: Annotated[float, Field(gt=0, le=1)] = 0.99
    """Factor from one round to the next."""

    def course(self, context: Context) -> Callable[[Factor], Factor]:
        """The power."""
        return Partial(exponential, self.decay)


class StepConfig(ScheduleConfig):
    """The rate times `decay` after every so many rounds."""

    kind: Literal["step"] = "step"
    decay: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Factor from one step to the next."""
    every: PositiveInt
    """Rounds from one step to the next."""

    def course(self, context: Context) -> Callable[[Factor], Factor]:
        """The steps."""
        return Partial(stepped, self.decay, float(self.every))
