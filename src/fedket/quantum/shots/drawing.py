"""Values of finite shots, every value of a sample from the same ones."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from fedket.quantum.encoding import rotated_state
from fedket.quantum.measurement import (
    Angles,
    Measurement,
    States,
    Values,
    expected_values,
    outcome_probabilities,
    values_of,
)
from fedket.quantum.shots.sampling import sample_frequencies

Inputs = Array
"""States that enter, or angles (batch, qubits, kinds) of `rotated_state`."""


def prepare(inputs: Inputs) -> States:
    """The states that enter."""
    return inputs if inputs.ndim == 2 else rotated_state(inputs)


def draw_values(
    m: Measurement, shots: int, params: Angles, psi: States, rng: PRNGKeyArray
) -> Values:
    """Values from finite shots of each sample's circuit, all values of it from the same ones.

    Args:
        m: What is run and read.
        shots: Of each circuit; 0 for infinitely many.
        params: Angles in radians, shape `m.circuit.params_shape`.
        psi: States that enter, as columns, shape (2**num_qubits, batch).
        rng: Decides what is seen.
    """
    errors, seen = jax.random.split(rng)
    if not shots:
        return expected_values(m, params, psi, errors)
    probs = outcome_probabilities(m, params, psi, errors)
    return values_of(m, sample_frequencies(seen, probs, shots))


def draw_each(
    m: Measurement, shots: int, values: Float[Array, "..."], rng: PRNGKeyArray
) -> Float[Array, "..."]:
    """What finite shots of each value give: a binomial draw for each of them."""
    if not shots:
        return values
    signed = m.subsets is not None
    share = jnp.clip((1 + values) / 2 if signed else values, 0, 1)
    seen = jax.random.binomial(rng, jnp.asarray(shots, values.dtype), share) / shots
    return (2 * seen - 1 if signed else seen).astype(values.dtype)
