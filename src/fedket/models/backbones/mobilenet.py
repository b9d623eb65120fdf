"""MobileNetV2, width 1.0 (Sandler et al., arXiv:1801.04381), batch normalisation folded in."""

import jax

from fedket.models.backbones.backbone import Backbone, Features, Images, Weights, layer_shapes
from fedket.models.backbones.layers import Maps, Out, conv, depthwise, mean_over_space

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
          (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip
"""Expansion, channels, blocks and stride of the first block (the paper's table 2)."""

LAST_CHANNELS = 1280


def mobilenet_v2() -> Backbone:
    """MobileNetV2 up to its last convolution, averaged over space: 1,280 features.

    Padding is TensorFlow's `SAME`, unlike PyTorch's model, whose weights would not fit exactly.
    """
    kernels: dict[str, tuple[int, ...]] = {"conv1": (3, 3, 3, 32)}
    channels = 32
    for block, (expansion, outputs, _) in _blocks().items():
        wide = expansion * channels
        if expansion > 1:
            kernels[f"{block}/expand"] = (1, 1, channels, wide)
        kernels[f"{block}/depthwise"] = (3, 3, wide, 1)
        kernels[f"{block}/project"] = (1, 1, wide, outputs)
        channels = outputs
    kernels["conv_last"] = (1, 1, channels, LAST_CHANNELS)
    return Backbone(
        name="mobilenet_v2",
        shapes=layer_shapes(kernels),
        num_features=LAST_CHANNELS,
        smallest_side=32,
        preprocessing="RGB 2 x - 1",
        torch_names={},
        apply=_apply,
    )


def _blocks() -> dict[str, tuple[int, int, int]]:
    """Block name -> expansion, channels out, stride; numbered from 1."""
    rows = [
        (expansion, outputs, stride if first == 0 else 1)
        for expansion, outputs, count, stride in STAGES
        for first in range(count)
    ]
    return {f"block{number}": row for number, row in enumerate(rows, 1)}


def _apply(weights: Weights, images: Images) -> Features:
    x = jax.nn.relu6(conv(weights, "conv1", 2 * images - 1, stride=2, pads="SAME"))
    for block, (_, _, stride) in _blocks().items():
        x = _inverted_residual(weights, block, x, stride)
    return mean_over_space(jax.nn.relu6(conv(weights, "conv_last", x)))


def _inverted_residual(weights: Weights, block: str, x: Maps, stride: int) -> Out:
    """Expand, filter, project; add the input where the shapes match."""
    h = x
    if f"{block}/expand/kernel" in weights:
        h = jax.nn.relu6(conv(weights, f"{block}/expand", h))
    h = jax.nn.relu6(depthwise(weights, f"{block}/depthwise", h, stride))
    h = conv(weights, f"{block}/project", h)
    return x + h if x.shape == h.shape else h
