"""A plain network as one safetensors file: PyTorch's names and layouts, its layers as metadata.

`conv1.weight`, `conv1.bias`, …, `fc2.bias` load into a PyTorch module of the same layers; the
metadata says which layers, which images, and what is done to pixels before.
"""

import json
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fedket.errors import CheckpointError, ConfigError
from fedket.files import write_atomic
from fedket.models.network import Network, Tensors, plan_network, run_network

FORMAT = "fedket-network-1"

SUFFIX = {"kernel": "weight", "bias": "bias"}
"""Our name of a tensor -> PyTorch's."""

IMAGES, FEATURES = ("image_channels", "image_side"), ("features",)
"""What says which samples a network takes."""

DAMAGED = (
    SafetensorError,
    OSError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    RecursionError,
    ConfigError,
)
"""What comes of reading a file that is not a network."""


class TrainedNetwork(NamedTuple):
    """A plain network with its weights; no circuit is left in it.

    Attributes:
        plan: Its layers.
        tensors: Kernels and biases.
        pixel_range: `unit` or `signed`, see `fedket.data.transform`.
    """

    plan: Network
    tensors: Tensors
    pixel_range: str

    def logits(self, x: jax.Array | np.ndarray) -> jax.Array:
        """Logits (batch, classes) of samples, pixels already in the network's range."""
        return run_network(self.plan, self.tensors, jax.numpy.asarray(x))


def save_network(path: Path, network: TrainedNetwork) -> None:
    """Write a network atomically."""
    plan = network.plan
    arrays = {
        f"{layer.name}.{SUFFIX[part]}": np.ascontiguousarray(network.tensors[layer.name][part])
        for layer in plan.weighted
        for part in SUFFIX
    }
    metadata = {
        "format": FORMAT,
        "layers": json.dumps(plan.words),
        "names": json.dumps([layer.name for layer in plan.weighted]),
        "pixel_range": network.pixel_range,
    }
    keys = IMAGES if len(plan.shape) == 3 else FEATURES
    sizes = {key: str(size) for key, size in zip(keys, plan.shape, strict=False)}
    write_atomic(path, save(arrays, metadata | sizes))


def read_network(path: Path) -> TrainedNetwork:
    """Read a network back.

    Raises:
        CheckpointError: The file is missing, damaged, or no network of ours.
    """
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        layers = tuple(json.loads(metadata["layers"]))
        keys = FEATURES if FEATURES[0] in metadata else IMAGES
        shape = tuple(int(metadata[key]) for key in keys)
        shape += shape[1:]
        plan = plan_network(layers, shape, json.loads(metadata.get("names", "[]")))
        tensors = {
            layer.name: {
                part: jax.numpy.asarray(
                    arrays[f"{layer.name}.{suffix}"].reshape(getattr(layer, part))
                )
                for part, suffix in SUFFIX.items()
            }
            for layer in plan.weighted
        }
    except FileNotFoundError:
        raise CheckpointError(f"no network at {path}") from None
    except DAMAGED as error:
        raise CheckpointError(
            f"{path} is not a network of fedket's ({error}); export it again"
        ) from None
    return TrainedNetwork(plan, tensors, metadata.get("pixel_range", "unit"))
