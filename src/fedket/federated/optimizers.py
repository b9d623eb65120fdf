"""Optimisers of local training: any optax transformation, ours by name.

Weight decay is L2: the coefficient times the parameter is added to the gradient.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from pydantic import Field

from fedket.errors import ConfigError, UserCodeError
from fedket.federated.program import Number, tunable
from fedket.schema import NonNegativeFloat, PositiveFloat
from fedket.section import Context, Section
from fedket.types import Params

NO_METRIC = (
    "optimizer `natural_gradient` needs the metric of a circuit's angles, which `vqc` models "
    "without [noise] and [shots] have; choose another optimiser, for example `adam`"
)

Rule = Callable[..., optax.GradientTransformation]
Numbers = Mapping[str, Number]


class OptimizerConfig(Section):
    """Keys of all of our optimisers."""

    learning_rate: PositiveFloat = 0.01
    head_learning_rate: NonNegativeFloat = 0.0
    """Learning rate of the head of a `hybrid` model; 0 means `learning_rate`."""
    weight_decay: NonNegativeFloat = 0.0
    """L2 coefficient added to the gradient."""

    def check(self, context: Context) -> None:
        """Raise `ConfigError` at a rate for the head of a model without `head` and `circuit`."""
        parts = context.params if isinstance(context.params, dict) else {}
        if self.head_learning_rate and set(parts) != {"head", "circuit"}:
            raise ConfigError(
                "optimizer.head_learning_rate is for models with a head and a circuit, such as "
                "`hybrid`; leave it out"
            )

    def build(self, context: Context) -> optax.GradientTransformation:
        """The optimiser, with weight decay and a rate of its own for the head if there are."""
        rates = self.learning_rate, self.head_learning_rate or None
        return tunable(compose, *self.rule(), *rates, self.weight_decay or None)

    def rule(self) -> tuple[Rule, Numbers]:
        """Optax's function that makes the bare optimiser, and its arguments but for the rate."""
        raise UserCodeError(f"{type(self).__name__} has no `rule(self)`; define it, or `build`")


def compose(
    rule: Rule,
    numbers: Numbers,
    learning_rate: Number,
    head_learning_rate: Number | None,
    weight_decay: Number | None,
) -> optax.GradientTransformation:
    """An optimiser with a rate of its own for the head and L2 weight decay, None for neither."""
    optimizer = rule(learning_rate, **numbers)
    if head_learning_rate is not None:
        parts = {"head": rule(head_learning_rate, **numbers), "circuit": optimizer}
        optimizer = optax.multi_transform(parts, {part: part for part in parts})
    if weight_decay is not None:
        optimizer = optax.chain(optax.add_decayed_weights(weight_decay), optimizer)
    return optimizer


def clipped_gradients(
    max_norm: Number, optimizer: optax.GradientTransformation
) -> optax.GradientTransformation:
    """An optimiser that scales gradients down whose L2 norm, of all parameters, is larger."""
    return optax.chain(optax.clip_by_global_norm(max_norm), optimizer)


def natural_gradient(
    learning_rate: Number, damping: Number = 1e-3
) -> optax.GradientTransformationExtraArgs:
    """Quantum natural gradient (Stokes et al. 2020, arXiv:1909.02108): θ ← θ − η (g + εI)⁻¹ ∇.

    Args:
        learning_rate: η.
        damping: ε, added to the diagonal of the Fubini–Study metric g; g is singular where an
            angle does not move the state.

    Raises:
        ConfigError: When a model is trained that has no `Model.metric`.
    """

    def update(
        grads: Params,
        state: optax.OptState,
        params: Params | None = None,
        *,
        metric: Callable[[], Array] | None = None,
    ) -> tuple[Params, optax.OptState]:
        del params
        if metric is None:
            raise ConfigError(NO_METRIC)
        flat, unflatten = ravel_pytree(grads)
        damped = metric() + damping * jnp.eye(flat.size, dtype=flat.dtype)
        step = jax.scipy.linalg.solve(damped, flat, assume_a="pos")
        return unflatten(-learning_rate * step), state

    def init(params: Params) -> optax.OptState:
        del params
        return optax.EmptyState()

    return optax.GradientTransformationExtraArgs(init, update)


class NaturalGradientConfig(OptimizerConfig):
    """Quantum natural gradient, for `vqc` models without noise and shots (arXiv:1909.02108)."""

    kind: Literal["natural_gradient"] = "natural_gradient"
    damping: PositiveFloat = 1e-3
    """Added to the diagonal of the Fubini–Study metric."""

    def rule(self) -> tuple[Rule, Numbers]:
        """Natural gradient."""
        return natural_gradient, {"damping": self.damping}


class AdamConfig(OptimizerConfig):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980)."""

    kind: Literal["adam"] = "adam"
    epsilon: PositiveFloat = 1e-8
    """Added to the square root of the second moment."""

    def rule(self) -> tuple[Rule, Numbers]:
        """Adam."""
        return optax.adam, {"eps": self.epsilon}


class SgdConfig(OptimizerConfig):
    """Stochastic gradient descent."""

    kind: Literal["sgd"] = "sgd"

    def rule(self) -> tuple[Rule, Numbers]:
        """SGD."""
        return optax.sgd, {}


class MomentumConfig(OptimizerConfig):
    """Stochastic gradient descent with momentum."""

    kind: Literal["momentum"] = "momentum"
    momentum: Annotated[float, Field(gt=0, lt=1)] = 0.9

    def rule(self) -> tuple[Rule, Numbers]:
        """SGD with momentum."""
        return optax.sgd, {"momentum": self.momentum}
