"""A foreign circuit on fedket's own engine.

Gates that differ between samples are simulated sample by sample, all others on the whole batch.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from fedket.bridges.expressions import evaluate
from fedket.bridges.program import CircuitProgram
from fedket.bridges.sections import Section, make_sections, split_encoder
from fedket.errors import CircuitError
from fedket.quantum.encoding import ENCODINGS, flat_features, product_state, zero_state
from fedket.quantum.engine import fuse_gates, run_circuit
from fedket.quantum.gates import GATES

Run = Callable[
    [Float[Array, " weights"], Float[Array, "batch features"]], Complex[Array, "dim batch"]
]


def sections_of(program: CircuitProgram) -> tuple[tuple[Section, ...], tuple[Section, ...]]:
    """The sections that differ between samples, and those that follow."""
    encoder, others = split_encoder(program.operations)
    made = [
        make_sections(part, program.num_qubits, program.num_weights) for part in (encoder, others)
    ]
    return made[0], made[1]


def native_run(program: CircuitProgram, encoding: str = "inputs") -> Run:
    """A function of weights and samples that gives the final states, as columns.

    Differentiable in the weights; works under `jax.jit` and `jax.vmap`.

    Args:
        program: The circuit.
        encoding: `inputs` if it reads the features itself, else a key of `ENCODINGS`: how fedket
            encodes them before it.
    """
    encoder, others = sections_of(program)
    enter = entering(program, encoder, encoding)

    def run(weights: Array, x: Array) -> Array:
        return run_sections(others, weights, enter(weights, x))

    return run


def entering(program: CircuitProgram, encoder: tuple[Section, ...], encoding: str) -> Run:
    """The states of samples after the gates that differ between them; as of `native_run`."""

    def states(weights: Array, x: Array) -> Array:
        if encoding != "inputs":
            return ENCODINGS[encoding](x, program.num_qubits)
        x = flat_features(x)
        if program.num_features is not None and x.shape[1] != program.num_features:
            raise CircuitError(
                f"the circuit reads {program.num_features} features, samples have {x.shape[1]}"
            )
        return _encode(program, encoder, weights, x)

    return states


def run_sections(
    sections: tuple[Section, ...],
    weights: Float[Array, " weights"],
    psi: Complex[Array, "dim batch"],
) -> Complex[Array, "dim batch"]:
    """Apply sections that are the same for all samples."""
    for section in sections:
        angles = section_angles(section, weights, None, None)
        psi = run_circuit(section.circuit, angles.reshape(section.circuit.params_shape), psi)
    return psi


def section_angles(
    section: Section, weights: Array, features: Array | None, traced: Array | None
) -> Float[Array, " angles"]:
    """Angles of a section for one sample, layer by layer."""
    constants = jnp.asarray(section.constants, weights.dtype)
    if not section.sources or not section.sources[0]:
        return constants
    others = evaluate(section.symbols, weights, features, traced)
    known = jnp.concatenate([weights, jnp.stack(others)]) if others else weights
    factors = jnp.asarray(section.factors, weights.dtype)
    return (known[np.array(section.sources)] * factors).sum(axis=1) + constants


def _encode(
    program: CircuitProgram, sections: tuple[Section, ...], weights: Array, x: Array
) -> Complex[Array, "dim batch"]:
    traced = None
    if program.traced is not None:
        traced = jax.vmap(program.traced, in_axes=(None, 0))(weights, x)

    def angles_of(section: Section) -> Array:
        of_one = partial(section_angles, section, weights)
        angles: Array = jax.vmap(of_one)(x, traced)
        return angles

    if program.state is None and is_product(sections):
        return _product(sections[0], angles_of(sections[0]), program.num_qubits)
    if program.state is None:
        psi = zero_state(program.num_qubits, x.shape[0])
    else:
        psi = jax.vmap(program.state, in_axes=(None, 0), out_axes=1)(weights, x)
    for section in sections:
        psi = _each(section, angles_of(section), psi)
    return psi


def is_product(sections: tuple[Section, ...]) -> bool:
    """Whether qubits stay apart: one layer of gates on one qubit each."""
    if len(sections) != 1 or sections[0].circuit.num_layers > 1:
        return False
    return all(GATES[gate.name].num_qubits == 1 for gate in sections[0].circuit.layer)


def _product(
    section: Section, angles: Float[Array, "batch slots"], num_qubits: int
) -> Complex[Array, "dim batch"]:
    """What gates on one qubit each make of |0…0⟩."""
    columns = tuple(
        tuple(gate for gate in section.circuit.layer if gate.qubits == (qubit,))
        for qubit in range(num_qubits)
    )
    return product_state(fuse_gates(columns, angles)[..., 0])


def _each(
    section: Section, angles: Float[Array, "batch angles"], psi: Complex[Array, "dim batch"]
) -> Complex[Array, "dim batch"]:
    """Apply a section to every sample with the sample's own angles."""

    def one(angles: Array, psi: Array) -> Array:
        shaped = angles.reshape(section.circuit.params_shape)
        return run_circuit(section.circuit, shaped, psi[:, None])[:, 0]

    return jax.vmap(one, in_axes=(0, 1), out_axes=1)(angles, psi)
