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
from fedket.models.target import Target, Tensors, plan_target, run_target

FORMAT = "fedket-network-1"

SUFFIX = {"kernel": "weight", "bias": "bias"}
"""Our name of a tensor -> PyTorch's."""


class Network(NamedTuple):
    """A plain network with its weights; no circuit is left in it.

    Attributes:
        layers: In words, see `fedket.models.target`.
        target: Their shapes.
        tensors: Kernels and biases.
        pixel_range: `unit` or `signed`, see `fedket.data.transform`.
    """

    layers: tuple[str, ...]
    target: Target
    tensors: Tensors
    pixel_range: str

    def logits(self, x: jax.Array | np.ndarray) -> jax.Array:
        """Logits (batch, classes) of images, pixels already in the network's range."""
        return run_target(self.target, self.tensors, jax.numpy.asarray(x))


def save_network(path: Path, network: Network) -> None:
    """Write a network atomically."""
    target = network.target
    arrays = {
        f"{layer.name}.{SUFFIX[part]}": np.ascontiguousarray(network.tensors[layer.name][part])
        for layer in target.weighted
        for part in SUFFIX
    }
    metadata = {
        "format": FORMAT,
        "layers": json.dumps(network.layers),
        "image_side": str(target.side),
        "image_channels": str(target.channels),
        "pixel_range": network.pixel_range,
    }
    write_atomic(path, save(arrays, metadata))


def read_network(path: Path) -> Network:
    """Read a network back.

    Raises:
        CheckpointError: The file is missing, damaged, or no network of ours.
    """
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        layers = tuple(json.loads(metadata["layers"]))
        side, channels = int(metadata["image_side"]), int(metadata["image_channels"])
        target = plan_target(layers, side, channels)
        tensors = {
            layer.name: {
                part: arrays[f"{layer.name}.{suffix}"].reshape(getattr(layer, part))
                for part, suffix in SUFFIX.items()
            }
            for layer in target.weighted
        }
    except FileNotFoundError:
        raise CheckpointError(f"no network at {path}") from None
    except (SafetensorError, OSError, KeyError, ValueError, AttributeError, ConfigError) as error:
        raise CheckpointError(
            f"{path} is no network of fedket's ({error}); export it again"
        ) from None
    as_jax = jax.tree.map(jax.numpy.asarray, tensors)
    return Network(layers, target, as_jax, metadata.get("pixel_range", "unit"))
