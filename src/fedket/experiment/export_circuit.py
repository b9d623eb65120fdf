"""From a run to its trained circuit in another language: `fedket export --to`."""

from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fedket.bridges.export.as_pennylane import to_pennylane
from fedket.bridges.export.as_qasm import to_qasm
from fedket.bridges.export.trained import (
    TrainedCircuit,
    bind_weights,
    program_of,
    reuploaded_program,
)
from fedket.bridges.extras import needs_extra
from fedket.bridges.model import read_strings
from fedket.errors import ConfigError
from fedket.experiment import run_directory as disk
from fedket.experiment.aggregation import first_context
from fedket.experiment.build import load_samples, precision
from fedket.experiment.check import check_whole, parameter_shapes
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.predictor import Which, model_file
from fedket.experiment.section import build
from fedket.federated.checkpoint import load_params
from fedket.files import write_atomic
from fedket.section import Context
from fedket.types import Model

Language = Literal["qasm", "qiskit", "pennylane"]

HEADED = ("hybrid", "mps")
"""Kinds whose circuit follows a head."""


def export_circuit(
    directory: Path, output: Path, language: Language, which: Which = "last"
) -> TrainedCircuit:
    """Write the trained circuit of a run's global model, its weights as numbers.

    Args:
        directory: A run of `vqc`, `reuploading`, `hybrid` or `mps` (the circuit after the head),
            `qasm`, `qiskit` or `pennylane`.
        output: File to write: text of OpenQASM 3 or Python, or Qiskit's QPY.
        language: Which.
        which: The model of the last round, or the best one on the validation split.

    Raises:
        CheckpointError: The directory is no run, or has no model yet.
        CircuitError: The circuit has angles that are no formulas.
        ConfigError: Its model has no circuit of this kind, or Qiskit is missing.
    """
    config = disk.read_config(directory)
    check_whole(config, directory)
    with precision(config):
        context = first_context(config)
        samples = cache(partial(load_samples, config, context))
        context = context._replace(dataset=samples)
        section: Any = config.model
        if "engine" in type(section).model_fields:  # no device is needed, nor its account
            section = section.model_copy(update={"engine": "native"})
        model = build(section, context, Model)
        params = load_params(model_file(directory, which), parameter_shapes(model))
        trained = _trained(config, section, model, params, context)
    write_atomic(output, _written(trained, language))
    return trained


def _trained(
    config: ExperimentConfig, section: Any, model: Model, params: Any, context: Context
) -> TrainedCircuit:
    encoding = getattr(section, "encoding", "inputs")
    if model.program is not None:
        program, weights = model.program(params)
    elif section.kind in ("vqc", *HEADED):
        program = program_of(model.circuit, encoding)
        weights = np.ravel(params["circuit"] if section.kind in HEADED else params)
    elif section.kind == "reuploading":
        program = reuploaded_program(model.circuit, context.num_features)
        weights = np.concatenate([np.ravel(params["circuit"]), np.ravel(params["scale"])])
    else:
        raise ConfigError(
            f"a model of kind `{section.kind}` has no circuit that is trained alone; `vqc`, "
            "`reuploading`, `hybrid`, `mps`, `qasm`, `qiskit` and `pennylane` have"
        )
    if encoding in ("angle", "arctan") and not program.num_features:
        own = program_of(model.circuit._replace(layer=(), num_layers=1), encoding)
        program = program._replace(
            operations=own.operations + program.operations, num_features=own.num_features
        )
    strings: tuple[str, ...] = ()
    if hasattr(section, "readout"):
        observables = getattr(section, "observables", ())
        found, _ = read_strings(
            section.readout, observables, program.num_qubits, context.num_classes
        )
        strings = found or ()
    return TrainedCircuit(
        program.num_qubits,
        bind_weights(program, np.asarray(weights, np.float64)),
        program.num_features or 0,
        strings,
        _notes(config.name, section, encoding, program.state is not None, strings),
    )


def _notes(
    name: str, section: Any, encoding: str, prepares: bool, strings: tuple[str, ...]
) -> tuple[str, ...]:
    notes = [f"Trained by fedket, experiment {name}; angles are radians."]
    if prepares or encoding in ("amplitude", "state"):
        notes.append("It acts on the state that the sample is encoded in, which comes first.")
    if section.kind in HEADED:
        notes.append("Its features are the outputs of the model's head.")
    if strings:
        notes.append(
            f"Logits are {section.logit_scale:g} times the values of {', '.join(strings)}."
        )
    return tuple(notes)


def _written(trained: TrainedCircuit, language: Language) -> bytes:
    if language == "qasm":
        return to_qasm(trained).encode()
    if language == "pennylane":
        return to_pennylane(trained).encode()
    with needs_extra("qiskit"):
        from io import BytesIO

        from qiskit import qpy

        from fedket.bridges.export.as_qiskit import to_qiskit
    file = BytesIO()
    qpy.dump(to_qiskit(trained), file)
    return file.getvalue()
