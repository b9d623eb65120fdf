"""From a run to the plain network that is deployed."""

from pathlib import Path

from fedket.errors import ConfigError
from fedket.experiment import run_directory as disk
from fedket.experiment.build import precision
from fedket.experiment.check import parameter_shapes
from fedket.experiment.config import ExperimentConfig
from fedket.federated.checkpoint import load_params
from fedket.models.cnn import CnnConfig, cnn
from fedket.models.network_file import Network, save_network
from fedket.models.quantum_train import QuantumTrainConfig, generate_weights, quantum_train
from fedket.models.target import cut_weights

PLAIN = ("signed", "pad")
"""Transforms that a network's file can say, or that its own padding does."""


def export_network(directory: Path, output: Path) -> Network:
    """Write the plain network of a run's global model.

    Args:
        directory: A run of model kind `quantum_train` or `cnn`.
        output: File to write (safetensors), see `fedket.models.network_file`.

    Raises:
        CheckpointError: The directory is no run, or has no model yet.
        ConfigError: Its model is of another kind, or its images were changed in ways the file
            cannot say.
    """
    config = disk.read_config(directory)
    others = [t.kind for t in config.transform if t.kind not in PLAIN]
    if others:
        raise ConfigError(
            f"{directory} was trained on images after the transform `{others[0]}`, which a plain "
            "network does not do; export a run without it"
        )
    with precision(config):
        network = _network(config, directory)
        save_network(output, network)
    return network


def _network(config: ExperimentConfig, directory: Path) -> Network:
    path = directory / disk.MODEL
    pixels = "signed" if any(t.kind == "signed" for t in config.transform) else "unit"
    match config.model:
        case QuantumTrainConfig() as c:
            plan = c.plan()
            params = load_params(path, parameter_shapes(quantum_train(plan)))
            tensors = cut_weights(plan.target, generate_weights(plan, params))
            return Network(c.layers, plan.target, tensors, pixels)
        case CnnConfig() as c:
            target = c.target()
            return Network(
                c.layers, target, load_params(path, parameter_shapes(cnn(target))), pixels
            )
    raise ConfigError(
        f"{directory} trained a model of kind `{config.model.kind}`; a plain network comes out of "
        f"`quantum_train` and `cnn` only"
    )
