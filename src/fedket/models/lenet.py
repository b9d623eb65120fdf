"""LeNet-5 (LeCun et al. 1998) as QuNetQFL uses it: 61,706 parameters on 32×32 grey images."""

from typing import Literal

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from fedket.kinds import Context, Section
from fedket.models.layers import (
    as_images,
    conv2d,
    flatten,
    init_conv,
    init_linear,
    linear,
    max_pool,
)
from fedket.types import Model, Params


def lenet5(num_classes: int = 10) -> Model:
    """Conv 6@5×5, pool, conv 16@5×5, pool, 400 → 120 → 84 → classes, with ReLU and max-pooling.

    Images of 28×28 are zero-padded to 32×32. ReLU and max-pooling replace the original's tanh and
    subsampling, as is usual today.
    """

    def init(rng: PRNGKeyArray) -> Params:
        rngs = jax.random.split(rng, 5)
        return {
            "conv1": init_conv(rngs[0], 5, 1, 6),
            "conv2": init_conv(rngs[1], 5, 6, 16),
            "linear1": init_linear(rngs[2], 400, 120),
            "linear2": init_linear(rngs[3], 120, 84),
            "linear3": init_linear(rngs[4], 84, num_classes),
        }

    def apply(
        params: Params,
        x: Float[Array, "batch *shape"],
        rng: PRNGKeyArray | None = None,  # noqa: ARG001 - the network has no random layer
    ) -> Float[Array, "batch classes"]:
        h = as_images(x, 32)
        for name in ("conv1", "conv2"):
            h = jax.nn.relu(max_pool(conv2d(**params[name], x=h)))
        h = flatten(h)
        for name in ("linear1", "linear2"):
            h = jax.nn.relu(linear(**params[name], x=h))
        return linear(**params["linear3"], x=h).T

    return Model(init, apply)


class LeNetConfig(Section):
    """LeNet-5 on 28x28 or 32x32 images."""

    kind: Literal["lenet5"] = "lenet5"

    def build(self, context: Context) -> Model:
        """The model, for the classes of the data."""
        return lenet5(context.num_classes)
