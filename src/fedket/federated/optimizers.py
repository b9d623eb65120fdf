"""Optimisers of local training: any optax transformation, ours by name.

Weight decay is L2: the coefficient times the parameter is added to the gradient.
"""

from typing import Annotated, Literal

import optax
from pydantic import Field

from fedket.errors import ConfigError
from fedket.kinds import Context, Section
from fedket.schema import NonNegativeFloat, PositiveFloat


class OptimizerConfig(Section):
    """Keys of all of our optimisers."""

    learning_rate: PositiveFloat = 0.01
    head_learning_rate: NonNegativeFloat = 0.0
    """Learning rate of the head of a `hybrid` model; 0 means `learning_rate`."""
    weight_decay: NonNegativeFloat = 0.0
    """L2 coefficient added to the gradient."""

    def check(self, context: Context) -> None:
        """Refuse a rate for the head of a model without one.

        Raises:
            ConfigError: The model's parameters are not `head` and `circuit`.
        """
        parts = context.params if isinstance(context.params, dict) else {}
        if self.head_learning_rate and set(parts) != {"head", "circuit"}:
            raise ConfigError(
                "optimizer.head_learning_rate is for models with a head and a circuit, such as "
                "`hybrid`; leave it out"
            )

    def build(self, context: Context) -> optax.GradientTransformation:
        """The optimiser, with weight decay and a rate of its own for the head if there are."""
        optimizer = self.step(self.learning_rate)
        if self.head_learning_rate:
            parts = {"head": self.step(self.head_learning_rate), "circuit": optimizer}
            optimizer = optax.multi_transform(parts, {part: part for part in parts})
        if self.weight_decay:
            optimizer = optax.chain(optax.add_decayed_weights(self.weight_decay), optimizer)
        return optimizer

    def step(self, learning_rate: float) -> optax.GradientTransformation:
        """The bare optimiser."""
        raise NotImplementedError


class AdamConfig(OptimizerConfig):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980)."""

    kind: Literal["adam"] = "adam"
    epsilon: PositiveFloat = 1e-8
    """Added to the square root of the second moment."""

    def step(self, learning_rate: float) -> optax.GradientTransformation:
        """Adam."""
        return optax.adam(learning_rate, eps=self.epsilon)


class SgdConfig(OptimizerConfig):
    """Stochastic gradient descent."""

    kind: Literal["sgd"] = "sgd"

    def step(self, learning_rate: float) -> optax.GradientTransformation:
        """SGD."""
        return optax.sgd(learning_rate)


class MomentumConfig(OptimizerConfig):
    """Stochastic gradient descent with momentum."""

    kind: Literal["momentum"] = "momentum"
    momentum: Annotated[float, Field(gt=0, lt=1)] = 0.9

    def step(self, learning_rate: float) -> optax.GradientTransformation:
        """SGD with momentum."""
        return optax.sgd(learning_rate, momentum=self.momentum)
