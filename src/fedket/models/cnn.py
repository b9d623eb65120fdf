"""A plain convolutional network trained directly: the baseline of Quantum-Train."""

from typing import Literal

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from fedket.kinds import Context
from fedket.models.layers import init_conv, init_linear
from fedket.models.target import Target, TargetKeys, run_target
from fedket.types import Model, Params


def cnn(target: Target) -> Model:
    """The network of a target with weights of its own, started as PyTorch does."""

    def init(rng: PRNGKeyArray) -> Params:
        rngs = jax.random.split(rng, len(target.weighted))
        params = {}
        for layer, layer_rng in zip(target.weighted, rngs, strict=True):
            outputs, inputs, *k = layer.kernel
            params[layer.name] = (
                init_conv(layer_rng, k[0], inputs, outputs)
                if k
                else init_linear(layer_rng, inputs, outputs)
            )
        return params

    def apply(
        params: Params,
        x: Float[Array, "batch *shape"],
        rng: PRNGKeyArray | None = None,  # noqa: ARG001 - the network has no random layer
    ) -> Float[Array, "batch classes"]:
        return run_target(target, params, x)

    return Model(init, apply)


class CnnConfig(TargetKeys):
    """The plain network, trained itself."""

    kind: Literal["cnn"] = "cnn"

    def build(self, context: Context) -> Model:
        """The model."""
        return cnn(self.target())
