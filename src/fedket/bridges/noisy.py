"""A foreign circuit under noise: what follows the encoding is one circuit, run as `vqc` runs it."""

from collections.abc import Callable

from jaxtyping import Array, PRNGKeyArray

from fedket.bridges.native import entering, is_product, section_angles, sections_of
from fedket.bridges.program import CircuitProgram
from fedket.bridges.sections import split_encoder, whole_section
from fedket.errors import ConfigError
from fedket.quantum.measurement import Measurement, check_measurement, expected_values
from fedket.quantum.noise import NoiseModel
from fedket.quantum.readout import parse_pauli

NoisyValues = Callable[[Array, Array, PRNGKeyArray | None], Array]


def noisy_values(
    program: CircuitProgram,
    encoding: str,
    strings: tuple[str, ...] | None,
    num_classes: int,
    noise: NoiseModel,
) -> NoisyValues:
    """(weights, samples, randomness or None) -> values.

    Args:
        program: The circuit; features enter on single qubits, before all other gates.
        encoding: As of `native_run`.
        strings: Products of Zs; None for the probabilities of the first basis states.
        num_classes: How many of these.
        noise: What follows the gates after the encoding.

    Raises:
        ConfigError: Features enter elsewhere, or another matrix than Z is read.
        CircuitError: The noise is not served on this circuit.
    """
    encoder, others = sections_of(program)
    if encoding == "inputs" and (program.state is not None or not is_product(encoder)):
        raise ConfigError(
            "features enter between other gates, which [noise] does not serve; let them enter "
            "first, each on a qubit of its own, or leave the table out"
        )
    section = others[0]
    if len(others) > 1:
        rest = split_encoder(program.operations)[1]
        section = whole_section(rest, program.num_qubits, program.num_weights)
    subsets = None if strings is None else tuple(map(_subset, strings))
    measured = Measurement(section.circuit, noise, subsets, num_classes if subsets is None else 0)
    check_measurement(measured)
    enter = entering(program, encoder, encoding)

    def values(weights: Array, x: Array, rng: PRNGKeyArray | None) -> Array:
        angles = section_angles(section, weights, None, None)
        shaped = angles.reshape(section.circuit.params_shape)
        return expected_values(measured, shaped, enter(weights, x), rng)

    return values


def _subset(string: str) -> tuple[int, ...]:
    factors = parse_pauli(string, 24)
    if set(factors.values()) != {"Z"}:
        raise ConfigError(f"observable `{string}`: under [noise] only products of Z are read")
    return tuple(sorted(factors))
