"""Plain networks as one list of layers: CNNs, LeNet-5, MLPs, a hybrid's head, a generator's map.

A network is a list of layers in words: `conv CHANNELS K` (valid, stride 1), `pool` (2×2 maximum),
`relu`, `dropout RATE`, `linear FEATURES`. Weights have PyTorch's layouts, (out, in, k, k) and
(out, in), and PyTorch's default start.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from typing import Annotated, NamedTuple

import jax
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import Field

from fedket.errors import ConfigError
from fedket.models.layers import (
    as_images,
    conv2d,
    dropout,
    flatten,
    init_layer,
    linear,
    max_pool,
)
from fedket.models.pooled import pooled_conv2d
from fedket.quantum.encoding import flat_features
from fedket.section import Section
from fedket.types import Model

Shape = tuple[int, ...]
Numbers = tuple[int | float, ...]

Tensors = Mapping[str, Mapping[str, Array]]
"""Layer name -> `kernel` and `bias`."""

KNOWN = "conv CHANNELS K, pool, relu, dropout RATE, linear FEATURES"

QFED_LAYERS = ("conv 8 5", "pool", "conv 12 5", "pool", "linear 20", "linear 10")
"""QFed's network (arXiv:2601.09809): 6,690 weights, no activations."""

QFED_IMAGES = (1, 28, 28)


class Layer(NamedTuple):
    """One layer.

    Attributes:
        kind: First word of its description.
        numbers: The other words.
        name: `conv1`, `fc1`, …; empty without weights.
        kernel: Shape of the kernel; empty without weights.
    """

    kind: str
    numbers: Numbers = ()
    name: str = ""
    kernel: Shape = ()

    @property
    def bias(self) -> Shape:
        """Shape of the bias: one number for each output."""
        return self.kernel[:1]


class Network(NamedTuple):
    """The layers of a network, and the samples it takes; no weights.

    Attributes:
        layers: From input to logits.
        shape: (features,), or (channels, side, side) for images of at most `side` × `side` pixels,
            which are zero-padded to it.
    """

    layers: tuple[Layer, ...]
    shape: Shape

    @property
    def words(self) -> tuple[str, ...]:
        """Descriptions of the layers, as `plan_network` takes them."""
        return tuple(" ".join([o.kind, *map(str, o.numbers)]) for o in self.layers)

    @property
    def weighted(self) -> tuple[Layer, ...]:
        """Layers with weights, in the order weights are cut from a vector."""
        return tuple(layer for layer in self.layers if layer.kernel)

    @property
    def num_weights(self) -> int:
        """All entries of all kernels and biases."""
        return sum(prod(layer.kernel) + prod(layer.bias) for layer in self.weighted)


def plan_network(
    words: Sequence[str] = QFED_LAYERS, shape: Shape = QFED_IMAGES, names: Sequence[str] = ()
) -> Network:
    """Work out the shapes of a network.

    Args:
        words: Its layers, the last one `linear CLASSES`.
        shape: Samples it takes: (features,) or (channels, side, side).
        names: Names of the layers with weights; empty for `conv1`, …, `fc1`, ….

    Raises:
        ConfigError: A layer is unknown or does not fit what comes before it.
    """
    layers: list[Layer] = []
    inputs = shape
    for number, text in enumerate(words, start=1):
        where = f"layer {number} of the network, `{text}`,"
        kind, numbers = _parse(text, where)
        kernel, inputs = _place(kind, numbers, inputs, where)
        name = f"{_PREFIX[kind]}{1 + sum(o.kind == kind for o in layers)}" if kernel else ""
        layers.append(Layer(kind, numbers, name, kernel))
    if not layers or layers[-1].kind != "linear":
        raise ConfigError(
            "the last layer of the network must be `linear CLASSES`, got "
            f"`{words[-1] if words else 'no layer'}`"
        )
    if names:
        given = dict(zip((o.name for o in layers if o.kernel), names, strict=True))
        layers = [o._replace(name=given.get(o.name, "")) for o in layers]
    return Network(tuple(layers), shape)


def plan_dense(widths: Sequence[int], between: Sequence[str] = ()) -> Network:
    """Linear layers `linear0`, `linear1`, … from widths[0] features to widths[-1] numbers.

    Args:
        widths: Features before, between and after the layers.
        between: Layers in words after each linear layer but the last.
    """
    inner = [text for width in widths[1:-1] for text in (f"linear {width}", *between)]
    names = [f"linear{i}" for i in range(len(widths) - 1)]
    return plan_network([*inner, f"linear {widths[-1]}"], (widths[0],), names)


def init_weights(network: Network, rng: PRNGKeyArray) -> Tensors:
    """Weights of all layers, started as PyTorch does."""
    rngs = jax.random.split(rng, len(network.weighted))
    return {
        layer.name: init_layer(layer_rng, layer.kernel)
        for layer, layer_rng in zip(network.weighted, rngs, strict=True)
    }


def cut_weights(network: Network, weights: Float[Array, " weights"]) -> Tensors:
    """Cut a vector into kernels and biases, layer by layer, each kernel before its bias."""
    cut, start = {}, 0
    for layer in network.weighted:
        middle, end = start + prod(layer.kernel), start + prod(layer.kernel) + prod(layer.bias)
        kernel = weights[start:middle].reshape(layer.kernel)
        cut[layer.name] = {"kernel": kernel, "bias": weights[middle:end]}
        start = end
    return cut


def run_layers(
    network: Network,
    tensors: Tensors,
    h: Float[Array, "*shape batch"],
    rng: PRNGKeyArray | None = None,
) -> Float[Array, "outputs batch"]:
    """Outputs of a network's layers, with the batch last as in `fedket.models.layers`.

    Args:
        network: The layers.
        tensors: Their weights.
        h: Samples of shape `network.shape`.
        rng: For dropout; None leaves it out.
    """
    drops = 0
    layers = list(network.layers)
    for place, layer in enumerate(layers):
        follows_conv = place > 0 and layers[place - 1].kind == "conv"
        match layer.kind:
            case "conv" if layers[place + 1].kind == "pool":
                h = pooled_conv2d(**tensors[layer.name], x=h)
            case "conv":
                h = conv2d(**tensors[layer.name], x=h)
            case "pool" if follows_conv:
                pass
            case "pool":
                h = max_pool(h)
            case "relu":
                h = jax.nn.relu(h)
            case "dropout":
                drop_rng = None if rng is None else jax.random.fold_in(rng, drops)
                h, drops = dropout(h, layer.numbers[0], drop_rng), drops + 1
            case _:
                h = linear(**tensors[layer.name], x=flatten(h))
    return h


def run_network(
    network: Network,
    tensors: Tensors,
    x: Float[Array, "batch *shape"],
    rng: PRNGKeyArray | None = None,
) -> Float[Array, "batch classes"]:
    """Logits of a network with given weights, as `run_layers`.

    Samples have any shape with as many features, or are images (height, width) or (height, width,
    channels).
    """
    images = len(network.shape) == 3
    h = as_images(x, network.shape[-1]) if images else flat_features(x).T
    return run_layers(network, tensors, h, rng).T


def network_model(network: Network) -> Model:
    """A model whose parameters are the weights of a network."""
    return Model(
        partial(init_weights, network),
        partial(run_network, network),
        plain_network=lambda params: (network, params),
    )


_PATTERN = re.compile(
    r"conv 0*[1-9]\d* 0*[1-9]\d*|pool|relu|linear 0*[1-9]\d*"
    r"|dropout (0|0?\.\d+|\d(\.\d+)?e-\d+)",
    re.ASCII,
)
_PREFIX = {"conv": "conv", "linear": "fc"}


def _parse(text: str, where: str) -> tuple[str, Numbers]:
    kind, *words = text.split() or [""]
    if not _PATTERN.fullmatch(" ".join([kind, *words])):
        raise ConfigError(f"{where} is none of {KNOWN}")
    return kind, tuple(float(w) if kind == "dropout" else int(w) for w in words)


def _place(kind: str, numbers: Numbers, inputs: Shape, where: str) -> tuple[Shape, Shape]:
    """Shapes of the kernel and of what the layer puts out."""
    sizes = tuple(map(int, numbers))
    if kind in ("relu", "dropout"):
        return (), inputs
    if kind == "linear":
        return (*sizes, prod(inputs)), sizes
    if len(inputs) != 3:
        raise ConfigError(f"{where} needs an image, but gets a list of features; put it before")
    depth, height, _ = inputs
    if kind == "pool":
        if height % 2:
            raise ConfigError(f"{where} halves sides, but gets images of {height}×{height}")
        return (), (depth, height // 2, height // 2)
    outputs, k = sizes
    if k > height:
        raise ConfigError(f"{where} is larger than its images of {height}×{height}")
    return (outputs, depth, k, k), (outputs, height - k + 1, height - k + 1)


LayerWords = Annotated[
    tuple[Annotated[str, Field(max_length=40)], ...], Field(min_length=1, max_length=50)
]


class NetworkKeys(Section):
    """Keys of a model that is a plain convolutional network in the end, QFed's by default."""

    layers: LayerWords = QFED_LAYERS
    """`conv CHANNELS K`, `pool` (2x2 maximum), `relu`, `dropout RATE`, `linear FEATURES`; the last
    is `linear CLASSES`."""
    image_side: Annotated[int, Field(ge=1, le=1024)] = 28
    """Pixels a side; smaller images are padded with zeros."""
    image_channels: Annotated[int, Field(ge=1, le=1024)] = 1
    """1 for grey images, 3 for colours."""

    def network(self) -> Network:
        """The network."""
        side = self.image_side
        return plan_network(self.layers, (self.image_channels, side, side))
