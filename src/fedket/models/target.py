"""Plain convolutional networks named layer by layer: what Quantum-Train generates, and baselines.

A network is a list of layers in words: `conv CHANNELS K` (valid, stride 1), `pool` (2×2 maximum),
`relu`, `linear FEATURES`. Weights have PyTorch's layouts, (out, in, k, k) and (out, in).
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Annotated, NamedTuple

import jax
from jaxtyping import Array, Float
from pydantic import Field

from fedket.errors import ConfigError
from fedket.kinds import Section
from fedket.models.layers import as_images, conv2d, flatten, linear, max_pool

Tensors = Mapping[str, Mapping[str, Array]]
"""Layer name -> `kernel` and `bias`."""

KNOWN = "conv CHANNELS K, pool, relu, linear FEATURES"

QFED_LAYERS = ("conv 8 5", "pool", "conv 12 5", "pool", "linear 20", "linear 10")
"""QFed's network (arXiv:2601.09809): 6,690 weights, no activations."""


class TargetLayer(NamedTuple):
    """One layer. `kernel` and `bias` are shapes, empty for layers without weights.

    Attributes:
        name: `conv1`, `fc1`, …; empty for layers without weights.
        kind: First word of its description.
        kernel: Shape of the kernel.
        bias: Shape of the bias.
    """

    name: str
    kind: str
    kernel: tuple[int, ...] = ()
    bias: tuple[int, ...] = ()


class Target(NamedTuple):
    """A network's layers and the images it takes: at most `side` × `side`, zero-padded to it."""

    layers: tuple[TargetLayer, ...]
    side: int
    channels: int

    @property
    def weighted(self) -> tuple[TargetLayer, ...]:
        """Layers with weights, in the order weights are cut from a vector."""
        return tuple(layer for layer in self.layers if layer.name)

    @property
    def num_weights(self) -> int:
        """All entries of all kernels and biases."""
        return sum(prod(layer.kernel) + prod(layer.bias) for layer in self.weighted)


def plan_target(
    descriptions: Sequence[str] = QFED_LAYERS, side: int = 28, channels: int = 1
) -> Target:
    """Work out the shapes of a network.

    Args:
        descriptions: Layers in words, the last one `linear CLASSES`.
        side: Height and width of its images.
        channels: Their channels.

    Raises:
        ConfigError: A layer is unknown or does not fit what comes before it.
    """
    shape: tuple[int, ...] = (channels, side, side)
    layers: list[TargetLayer] = []
    for number, words in enumerate(descriptions, start=1):
        where = f"layer {number} of the target network, `{words}`,"
        layer, shape = _plan_layer(words, shape, where, layers)
        layers.append(layer)
    if not layers or layers[-1].kind != "linear":
        raise ConfigError(
            "the last layer of the target network must be `linear CLASSES`, got "
            f"`{descriptions[-1] if descriptions else 'no layer'}`"
        )
    return Target(tuple(layers), side, channels)


def _plan_layer(
    words: str, shape: tuple[int, ...], where: str, before: Sequence[TargetLayer]
) -> tuple[TargetLayer, tuple[int, ...]]:
    """The layer, and the shape of what it puts out."""
    kind, *numbers = words.split() or [""]
    wanted = {"conv": 2, "pool": 0, "relu": 0, "linear": 1}.get(kind)
    sizes = tuple(int(n) for n in numbers if n.isascii() and n.isdigit() and int(n) > 0)
    if wanted is None or len(numbers) != wanted or len(sizes) != wanted:
        raise ConfigError(f"{where} has no shape that can be generated; known are {KNOWN}")
    if kind == "relu":
        return TargetLayer("", kind), shape
    index = 1 + sum(layer.kind == kind for layer in before)
    if kind == "linear":
        kernel = (sizes[0], prod(shape))
        return TargetLayer(f"fc{index}", kind, kernel, sizes), sizes
    if len(shape) != 3:
        raise ConfigError(f"{where} needs an image, but comes after a linear layer; put it before")
    depth, height, _ = shape
    if kind == "pool":
        if height % 2:
            raise ConfigError(f"{where} halves sides, but gets images of {height}×{height}")
        return TargetLayer("", kind), (depth, height // 2, height // 2)
    outputs, k = sizes
    if k > height:
        raise ConfigError(f"{where} is larger than its images of {height}×{height}")
    rest = height - k + 1
    return TargetLayer(f"conv{index}", kind, (outputs, depth, k, k), sizes[:1]), (
        outputs,
        rest,
        rest,
    )


def cut_weights(target: Target, weights: Float[Array, " weights"]) -> Tensors:
    """Cut a vector into kernels and biases, layer by layer, each kernel before its bias."""
    tensors, start = {}, 0
    for layer in target.weighted:
        middle, end = start + prod(layer.kernel), start + prod(layer.kernel) + prod(layer.bias)
        kernel = weights[start:middle].reshape(layer.kernel)
        tensors[layer.name] = {"kernel": kernel, "bias": weights[middle:end]}
        start = end
    return tensors


def run_target(
    target: Target, tensors: Tensors, x: Float[Array, "batch *shape"]
) -> Float[Array, "batch classes"]:
    """Logits of a network with given weights."""
    h = as_images(x, target.side)
    for layer in target.layers:
        match layer.kind:
            case "conv":
                h = conv2d(**tensors[layer.name], x=h)
            case "pool":
                h = max_pool(h)
            case "relu":
                h = jax.nn.relu(h)
            case _:
                h = linear(**tensors[layer.name], x=flatten(h) if h.ndim == 4 else h)
    return h.T


def check_same_target(targets: Mapping[str, Target]) -> None:
    """Refuse clients that generate different networks.

    Their trained numbers may well have equal shapes (1,497 for every network of 4,097 to 8,192
    weights), so a sum would go through, and mean nothing.

    Args:
        targets: Client -> its network.

    Raises:
        ConfigError: Naming two clients that differ.
    """
    (first, reference), *others = targets.items()
    for client, target in others:
        if target != reference:
            raise ConfigError(
                f"client {client} generates a network of {target.num_weights:,} weights that "
                f"differs from client {first}'s ({reference.num_weights:,}); generators add up "
                f"only for one network: give all clients the same layers"
            )


LayerWords = Annotated[
    tuple[Annotated[str, Field(max_length=40)], ...], Field(min_length=1, max_length=50)
]


class TargetKeys(Section):
    """Keys of a model that is a plain convolutional network in the end, QFed's by default."""

    layers: LayerWords = QFED_LAYERS
    """`conv CHANNELS K`, `pool` (2x2 maximum), `relu`, `linear FEATURES`; the last is
    `linear CLASSES`."""
    image_side: Annotated[int, Field(ge=1, le=1024)] = 28
    """Pixels a side; smaller images are padded with zeros."""
    image_channels: Annotated[int, Field(ge=1, le=1024)] = 1
    """1 for grey images, 3 for colours."""

    def target(self) -> Target:
        """The network."""
        return plan_target(self.layers, self.image_side, self.image_channels)
