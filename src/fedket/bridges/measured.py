"""A foreign circuit under noise or finite shots: what follows the encoding is run as `vqc` runs it.

The encoding is one circuit for each sample, without noise; its states are exact.
"""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Float, PRNGKeyArray

from fedket.bridges.native import entering, is_product, section_angles, sections_of
from fedket.bridges.program import CircuitProgram
from fedket.bridges.sections import split_encoder, whole_section
from fedket.errors import ConfigError
from fedket.quantum.measurement import Measurement, check_measurement, expected_values
from fedket.quantum.noise import NoiseModel
from fedket.quantum.readout import parse_pauli
from fedket.quantum.shots import ShotPlan, Shots, draw_values, plan_shots, sampled_values

ForeignValues = Callable[..., Float[Array, "batch values"]]
"""(weights, x of shape (batch, features), randomness; None for none) -> values."""


class MeasuredValues(NamedTuple):
    """What noise and shots make of a circuit's values.

    Attributes:
        values: In training; without randomness, those of infinitely many shots.
        evaluate: The same with evaluation's shots; None if these are infinitely many.
        plan: What finite shots cost; None without any.
    """

    values: ForeignValues
    evaluate: ForeignValues | None = None
    plan: ShotPlan | None = None


def measured_values(
    program: CircuitProgram,
    encoding: str,
    strings: tuple[str, ...] | None,
    num_classes: int,
    noise: NoiseModel | None,
    shots: Shots | None,
) -> MeasuredValues:
    """Values under noise, from finite shots, or both.

    Args:
        program: The circuit; features enter before all other gates, on single qubits or as a
            state.
        encoding: As of `native_run`.
        strings: Products of Zs; None for the probabilities of the first basis states.
        num_classes: How many of these.
        noise: What follows the gates after the encoding.
        shots: How often circuits are measured.

    Raises:
        ConfigError: Features enter elsewhere, or another matrix than Z is read.
        CircuitError: Noise or shots are not served on this circuit.
    """
    encoder, others = sections_of(program)
    between = bool(encoder) if program.state is not None else not is_product(encoder)
    if encoding == "inputs" and between:
        raise ConfigError(
            "features enter between other gates, which [noise] and [shots] do not serve; let them "
            "enter first, each on a qubit of its own, or leave the table out"
        )
    section = others[0]
    if len(others) > 1:
        rest = split_encoder(program.operations)[1]
        section = whole_section(rest, program.num_qubits, program.num_weights)
    subsets = None if strings is None else tuple(map(_subset, strings))
    measured = Measurement(section.circuit, noise, subsets, num_classes if subsets is None else 0)
    check_measurement(measured)
    enter = entering(program, encoder, encoding)

    def angles_of(weights: Array) -> Array:
        angles = section_angles(section, weights, None, None)
        return angles.reshape(section.circuit.params_shape)

    def values(weights: Array, x: Array, rng: PRNGKeyArray | None) -> Array:
        angles, psi = angles_of(weights), enter(weights, x)
        if shots is None or rng is None:
            return expected_values(measured, angles, psi, rng)
        return sampled_values(measured, shots, angles, psi, rng)

    if shots is None:
        return MeasuredValues(values)

    def evaluate(weights: Array, x: Array, rng: PRNGKeyArray) -> Array:
        return draw_values(measured, shots.evaluation, angles_of(weights), enter(weights, x), rng)

    plan = plan_shots(measured, shots)
    return MeasuredValues(values, evaluate if shots.evaluation else None, plan)


def _subset(string: str) -> tuple[int, ...]:
    factors = parse_pauli(string, 24)
    if set(factors.values()) != {"Z"}:
        raise ConfigError(
            f"observable `{string}`: under [noise] or [shots] only products of Z are read"
        )
    return tuple(sorted(factors))
