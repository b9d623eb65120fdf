"""A circuit program as a model: features enter, expectation values come out as logits."""

from collections.abc import Callable
from typing import Literal

import jax
import numpy as np
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from fedket.bridges.native import native_run, sections_of
from fedket.bridges.program import CircuitProgram
from fedket.errors import ConfigError
from fedket.models.vqc import Readout, measure_states
from fedket.quantum.circuit import Circuit
from fedket.quantum.readout import expval, parse_pauli
from fedket.types import Model

ForeignEncoding = Literal["inputs", "amplitude", "angle", "arctan", "state"]
Measure = Callable[[Complex[Array, "dim batch"]], Float[Array, "batch classes"]]


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
) -> Model:
    """A classifier whose parameters are a circuit's weights, on fedket's own engine.

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

    Raises:
        ConfigError: Features enter nowhere or twice, or the read-out does not suit the classes.
        CircuitError: An observable is no Pauli string of the circuit's qubits.
    """
    _check_encoding(program, encoding, origin)
    if observables:
        measure = _measure_strings(observables, program.num_qubits, num_classes)
    else:
        measure = measure_states(readout, program.num_qubits, num_classes)
    run = native_run(program, encoding)

    def init(rng: PRNGKeyArray) -> Float[Array, " weights"]:
        return init_std * jax.random.normal(rng, (program.num_weights,))

    def apply(
        params: Float[Array, " weights"],
        x: Float[Array, "batch *features"],
        rng: PRNGKeyArray | None = None,  # noqa: ARG001 - every model takes one
    ) -> Float[Array, "batch classes"]:
        return logit_scale * measure(run(params, x))

    return Model(
        init, apply, circuit=largest_section(program), runs_on=native_words(program, origin)
    )


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


def _measure_strings(observables: tuple[str, ...], num_qubits: int, num_classes: int) -> Measure:
    for text in observables:
        parse_pauli(text, num_qubits)
    if len(observables) == 1 and num_classes == 2:
        signs = np.array([1, -1], np.int32)
        return lambda psi: expval(psi, *observables) * signs
    if len(observables) != num_classes:
        raise ConfigError(
            f"model.observables names {len(observables)} Pauli strings for {num_classes} classes; "
            "name one for each, or a single one for two classes"
        )
    return lambda psi: expval(psi, *observables)
