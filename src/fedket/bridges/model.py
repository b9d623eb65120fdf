"""A circuit program as a model: features enter, expectation values come out as logits."""

from collections.abc import Callable
from typing import Literal

import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from fedket.bridges.measured import ForeignValues, MeasuredValues, measured_values
from fedket.bridges.native import native_run, sections_of
from fedket.bridges.program import CircuitProgram
from fedket.errors import ConfigError
from fedket.models.vqc import Readout, measured_subsets
from fedket.quantum.circuit import Circuit
from fedket.quantum.noise import NoiseModel
from fedket.quantum.readout import expval, parse_pauli, probabilities
from fedket.quantum.shots import Shots
from fedket.types import ForeignDevice, Model

ForeignEncoding = Literal["inputs", "amplitude", "angle", "arctan", "state"]
MakeDevice = Callable[[tuple[str, ...]], tuple[ForeignValues, ForeignDevice, str]]
"""Pauli strings -> their values on a device, what calls it, and that in words."""


def program_model(
    program: CircuitProgram,
    num_classes: int,
    *,
    origin: str,
    encoding: ForeignEncoding = "inputs",
    readout: Readout = "z",
    observables: tuple[str, ...] = (),
    logit_scale: float = 1.0,
    init_std: float = 0.1,
    checked: str = "",
    noise: NoiseModel | None = None,
    shots: Shots | None = None,
    make_device: MakeDevice | None = None,
) -> Model:
    """A classifier whose parameters are a circuit's weights, on fedket's own engine or a device.

    Args:
        program: The circuit.
        num_classes: Number of logits.
        origin: Where it comes from, in words.
        encoding: `inputs` if the circuit reads the features itself; else how fedket encodes them
            before the circuit, as in `vqc`.
        readout: As of `vqc`.
        observables: In place of `readout`: a Pauli string for each class, or a single one whose
            value v makes the logits (v, −v) of two classes.
        logit_scale: Logits are this times the read-out.
        init_std: Weights start at N(0, init_std²).
        checked: What the translation was compared with, in words.
        noise: What follows its gates on fedket's engine, as of `vqc`; what encodes the features
            has none.
        shots: How often circuits are measured on fedket's engine, as of `vqc`.
        make_device: Runs Pauli strings elsewhere; None for fedket's engine.

    Raises:
        ConfigError: Features enter nowhere or twice, or the read-out does not suit the classes.
        CircuitError: An observable is no Pauli string of the circuit's qubits.
    """
    _check_encoding(program, encoding, origin)
    strings, signs = read_strings(readout, observables, program.num_qubits, num_classes)
    device: ForeignDevice | None = None
    if make_device is None:
        if noise is None and shots is None:
            read = MeasuredValues(_native_values(program, encoding, strings, num_classes))
        else:
            read = measured_values(program, encoding, strings, num_classes, noise, shots)
        words = "; ".join(filter(None, (native_words(program, origin), checked)))
    elif strings is None:
        raise ConfigError('model.readout = "probabilities" is fedket\'s own; a device gives "z"')
    else:
        values, device, where = make_device(strings)
        read = MeasuredValues(values)
        words = f"{origin} on {where}"

    def logits_by(values: ForeignValues) -> Callable[..., Float[Array, "batch classes"]]:
        def logits(
            params: Float[Array, " weights"],
            x: Float[Array, "batch *features"],
            rng: PRNGKeyArray | None = None,
        ) -> Float[Array, "batch classes"]:
            found = values(params, x, rng)
            return logit_scale * (found if signs is None else found * signs)

        return logits

    def init(rng: PRNGKeyArray) -> Float[Array, " weights"]:
        return init_std * jax.random.normal(rng, (program.num_weights,))

    return Model(
        init,
        logits_by(read.values),
        circuit=largest_section(program),
        runs_on=words,
        device=device,
        noise=noise if device is None else None,
        shots=read.plan,
        evaluate=read.evaluate and logits_by(read.evaluate),
        program=lambda params: (program, params),
    )


def _native_values(
    program: CircuitProgram,
    encoding: ForeignEncoding,
    strings: tuple[str, ...] | None,
    num_classes: int,
) -> ForeignValues:
    run = native_run(program, encoding)

    def values(weights: Array, x: Array, rng: PRNGKeyArray | None) -> Array:  # noqa: ARG001
        psi = run(weights, x)
        return probabilities(psi)[:num_classes].T if strings is None else expval(psi, *strings)

    return values


def largest_section(program: CircuitProgram) -> Circuit:
    """The part of a program that is worth drawing."""
    encoder, others = sections_of(program)
    circuits = [section.circuit for section in (*encoder, *others)]
    return max(circuits, key=lambda c: len(c.layer) * c.num_layers)


def native_words(program: CircuitProgram, origin: str) -> str:
    """How fedket runs a program, in words."""
    encoder, others = (
        [f"{len(s.circuit.layer)} gates × {s.circuit.num_layers}" for s in part]
        for part in sections_of(program)
    )
    parts = [f"for each sample {', '.join(encoder)}"] if encoder else []
    parts += [f"for the batch {', '.join(others)}"] if others else []
    return f"fedket's own engine, translated from {origin}: {'; '.join(parts)}"


def _check_encoding(program: CircuitProgram, encoding: ForeignEncoding, origin: str) -> None:
    if not program.operations:
        raise ConfigError(f"{origin} has no gates")
    if not program.num_weights:
        raise ConfigError(f"{origin} has no parameter to train; all that it has are inputs")
    if encoding == "inputs" and program.num_features == 0:
        raise ConfigError(
            f"{origin} reads no features: name its parameters that are features in model.inputs, "
            'or let fedket encode them: model.encoding = "angle"'
        )
    if encoding != "inputs" and program.num_features:
        raise ConfigError(
            f'{origin} reads features itself; leave model.encoding = "{encoding}" out'
        )


def read_strings(
    readout: Readout, observables: tuple[str, ...], num_qubits: int, num_classes: int
) -> tuple[tuple[str, ...] | None, np.ndarray | None]:
    """Pauli strings that are read, None for probabilities; signs that make logits, if any do.

    Raises:
        ConfigError: There are not as many values as classes.
        CircuitError: An observable is no Pauli string of these qubits.
    """
    if not observables:
        subsets, signs = measured_subsets(readout, num_qubits, num_classes)
        if subsets is None:
            return None, signs
        return tuple(" ".join(f"Z{q}" for q in subset) for subset in subsets), signs
    for text in observables:
        parse_pauli(text, num_qubits)
    if len(observables) == 1 and num_classes == 2:
        return observables, np.array([1, -1], np.int32)
    if len(observables) != num_classes:
        raise ConfigError(
            f"model.observables names {len(observables)} Pauli strings for {num_classes} classes; "
            "name one for each, or a single one for two classes"
        )
    return observables, None
