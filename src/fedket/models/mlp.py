"""Classical baselines: logistic regression and multi-layer perceptrons of a chosen size."""

from itertools import pairwise
from typing import Annotated, Literal

import jax
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import Field

from fedket.kinds import Context, Section
from fedket.models.layers import init_linear, linear
from fedket.schema import PositiveInt
from fedket.types import Model, Params


def mlp(num_features: int, num_classes: int, hidden: tuple[int, ...] = ()) -> Model:
    """Linear layers with ReLU between them; logistic regression when `hidden` is empty.

    Args:
        num_features: Features per sample after flattening.
        num_classes: Number of logits.
        hidden: Width of each hidden layer.
    """
    widths = (num_features, *hidden, num_classes)

    def init(rng: PRNGKeyArray) -> Params:
        rngs = jax.random.split(rng, len(widths) - 1)
        return {
            f"linear{i}": init_linear(layer_rng, *pair)
            for i, (layer_rng, pair) in enumerate(zip(rngs, pairwise(widths), strict=True))
        }

    def apply(
        params: Params,
        x: Float[Array, "batch *features"],
        rng: PRNGKeyArray | None = None,  # noqa: ARG001 - the network has no random layer
    ) -> Float[Array, "batch classes"]:
        h = x.reshape(x.shape[0], -1).T
        for i in range(len(hidden)):
            h = jax.nn.relu(linear(**params[f"linear{i}"], x=h))
        return linear(**params[f"linear{len(hidden)}"], x=h).T

    return Model(init, apply)


def matched_width(num_features: int, num_classes: int, num_params: int) -> int:
    """Width of one hidden layer that brings an MLP's parameter count nearest to `num_params`."""
    per_unit = num_features + 1 + num_classes
    return max(1, round((num_params - num_classes) / per_unit))


class MlpConfig(Section):
    """A classical baseline: logistic regression when `hidden` is empty."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[PositiveInt, ...] = ()
    """Width of each hidden layer."""
    match_parameters: Annotated[int, Field(ge=0)] = 0
    """Choose one hidden layer so that the parameter count comes nearest to this; 0 is off."""

    def build(self, context: Context) -> Model:
        """The model, for the features and classes of the data."""
        features, classes, hidden = context.num_features, context.num_classes, self.hidden
        if self.match_parameters:
            hidden = (matched_width(features, classes, self.match_parameters),)
        return mlp(features, classes, hidden)
