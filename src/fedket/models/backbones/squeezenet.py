"""SqueezeNet 1.1 (Iandola et al., arXiv:1602.07360), as Keras ports of the Caffe model have it."""

import jax
import jax.numpy as jnp

from fedket.models.backbones.backbone import Backbone, Features, Images, Weights, layer_shapes
from fedket.models.backbones.layers import Maps, Out, conv, max_pool, mean_over_space

FIRES = {2: (64, 16, 64), 3: (128, 16, 64), 4: (128, 32, 128), 5: (256, 32, 128),
         6: (256, 48, 192), 7: (384, 48, 192), 8: (384, 64, 256), 9: (512, 64, 256)}  # fmt: skip
"""Fire module -> channels in, squeezed, and out of each of its two expansions."""

POOL_BEFORE = (2, 4, 6)
"""Fire modules that follow a max-pooling."""

MEAN_BGR = (103.939, 116.779, 123.68)
"""Caffe's ImageNet means, BGR in 0..255."""


def squeezenet1_1() -> Backbone:
    """SqueezeNet 1.1 up to fire9, averaged over space: 512 features."""
    kernels: dict[str, tuple[int, ...]] = {"conv1": (3, 3, 3, 64)}
    for fire, (inputs, squeezed, expanded) in FIRES.items():
        kernels[f"fire{fire}/squeeze1x1"] = (1, 1, inputs, squeezed)
        kernels[f"fire{fire}/expand1x1"] = (1, 1, squeezed, expanded)
        kernels[f"fire{fire}/expand3x3"] = (3, 3, squeezed, expanded)
    return Backbone(
        name="squeezenet1_1",
        shapes=layer_shapes(kernels),
        num_features=2 * FIRES[9][2],
        smallest_side=31,
        preprocessing=f"BGR 255 x - {MEAN_BGR}",
        torch_names={},
        apply=_apply,
    )


def _apply(weights: Weights, images: Images) -> Features:
    x = 255 * images[..., ::-1] - jnp.asarray(MEAN_BGR, images.dtype)
    x = jax.nn.relu(conv(weights, "conv1", x, stride=2))
    for fire in FIRES:
        if fire in POOL_BEFORE:
            x = max_pool(x, 3, 2)
        x = _fire(weights, f"fire{fire}", x)
    return mean_over_space(x)


def _fire(weights: Weights, name: str, x: Maps) -> Out:
    x = jax.nn.relu(conv(weights, f"{name}/squeeze1x1", x))
    narrow = conv(weights, f"{name}/expand1x1", x)
    wide = conv(weights, f"{name}/expand3x3", x, pads=((1, 1), (1, 1)))
    return jax.nn.relu(jnp.concatenate([narrow, wide], axis=-1))
