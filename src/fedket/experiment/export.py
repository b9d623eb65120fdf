"""From a run to the plain network that is deployed."""

from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fedket.bridges.export.as_onnx import to_onnx
from fedket.errors import ConfigError
from fedket.experiment import run_directory as disk
from fedket.experiment.aggregation import first_context
from fedket.experiment.build import load_samples, precision
from fedket.experiment.check import check_whole, parameter_shapes
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.predictor import Which, model_file
from fedket.experiment.section import build
from fedket.federated.checkpoint import load_params, read_arrays
from fedket.files import write_atomic
from fedket.models.network import Network
from fedket.models.network_file import TrainedNetwork, save_network
from fedket.types import Model


def export_network(
    directory: Path, output: Path, which: Which = "last", as_onnx: bool = False
) -> TrainedNetwork:
    """Write the plain network of a run's global model.

    Args:
        directory: A run of a model that is a plain network in the end: all classical ones,
            `quantum_train`, and any that offers `Model.plain_network`.
        output: File to write (safetensors), see `fedket.models.network_file`.
        which: The model of the last round, or the best one on the validation split.
        as_onnx: Write ONNX instead, see `fedket.bridges.export.as_onnx`.

    Raises:
        CheckpointError: The directory is no run, or has no model yet.
        ConfigError: Its model is no plain network, its samples were changed in ways the file
            cannot say, or the package `onnx` is missing.
    """
    config = disk.read_config(directory)
    check_whole(config, directory)
    with precision(config):
        # Most models are built without samples, so that none are loaded.
        context = first_context(config)
        samples = cache(partial(load_samples, config, context))
        model = build(config.model, context._replace(dataset=samples), Model)
        if model.plain_network is None:
            raise ConfigError(
                f"{directory} trained a model of kind `{config.model.kind}`, which is no plain "
                "network; `quantum_train`, `cnn`, `lenet5` and `mlp` are, and models of one's own "
                "that offer `Model.plain_network`"
            )
        params = load_params(model_file(directory, which), parameter_shapes(model))
        plan, tensors = model.plain_network(params)
        network = TrainedNetwork(plan, tensors, _pixel_range(config, plan, directory))
        if as_onnx:
            write_atomic(output, to_onnx(network))
        else:
            save_network(output, network)
    return network


def export_params(directory: Path, output: Path, which: Which, as_npz: bool) -> dict[str, Any]:
    """Write the parameters of any run's model as they are, by name.

    Args:
        directory: The run.
        output: File to write: safetensors, or NumPy's `.npz`.
        which: As in `export_network`.
        as_npz: Whether it is to be `.npz`.

    Returns:
        The arrays by name.

    Raises:
        CheckpointError: The directory is no run, or has no such model.
        ConfigError: Its model is not whole.
    """
    check_whole(disk.read_config(directory), directory)
    arrays = read_arrays(model_file(directory, which))
    if as_npz:
        file = BytesIO()
        np.savez(file, allow_pickle=False, **arrays)
        write_atomic(output, file.getvalue())
    else:
        write_atomic(output, model_file(directory, which).read_bytes())
    return arrays


def _pixel_range(config: ExperimentConfig, plan: Network, directory: Path) -> str:
    """`signed` or `unit`; a network of images puts zeros around them itself."""
    transforms = [t.kind for t in config.transform]
    signed = transforms[:1] == ["signed"]
    others = [t for t in transforms[signed:] if len(plan.shape) == 1 or t != "pad"]
    if others:
        raise ConfigError(
            f"{directory} was trained on samples after the transforms {', '.join(transforms)}; a "
            "network's file can say `signed` first, then `pad` around images, and nothing else"
        )
    return "signed" if signed else "unit"
