"""What is run and read: a circuit, its noise, and the values that its bits become.

One definition for everything that needs values: expectation values without shot noise, the
probabilities of all outcomes, and values of how often each outcome was seen.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from fedket.quantum import noise as noise_on
from fedket.quantum import readout
from fedket.quantum.circuit import Circuit
from fedket.quantum.engine import run_circuit
from fedket.quantum.noise import NoiseModel
from fedket.quantum.noise.frames import check_trajectories
from fedket.quantum.noise.observables import outcome_coefficients, pauli_coefficients
from fedket.quantum.noise.plan import plan_noisy

Angles = Float[Array, "layers slots"]
States = Complex[Array, "dim batch"]
Values = Float[Array, "batch values"]


class Measurement(NamedTuple):
    """A circuit and its read-out; hashable.

    Attributes:
        circuit: The circuit.
        noise: What follows its gates, and how bits are read; None for no noise, as is a model that
            does nothing.
        subsets: Qubits of each product of Zs that is a value; None for probabilities.
        outcomes: How many basis states' probabilities are values, from |0…0⟩ on; 0 for products.
    """

    circuit: Circuit
    noise: NoiseModel | None
    subsets: tuple[tuple[int, ...], ...] | None
    outcomes: int = 0

    @property
    def num_values(self) -> int:
        """Values of a sample."""
        return self.outcomes if self.subsets is None else len(self.subsets)

    @property
    def exact(self) -> bool:
        """Whether noise, if any, is worked out exactly."""
        return (self.noise or NoiseModel()).is_exact(self.circuit)


def check_measurement(m: Measurement) -> None:
    """Refuse what is not served.

    Raises:
        CircuitError: One line about circuit, noise or read-out.
    """
    if m.noise is None:
        return
    if m.exact:
        plan_noisy(m.circuit, m.noise)
    else:
        check_trajectories(m.circuit, m.noise)


def expected_values(
    m: Measurement, params: Angles, psi: States, rng: PRNGKeyArray | None = None
) -> Values:
    """Values without shot noise, of infinitely many shots; differentiable.

    Args:
        m: What is run and read.
        params: Angles in radians, shape `m.circuit.params_shape`.
        psi: States of norm 1 that enter, as columns, shape (2**num_qubits, batch).
        rng: Decides random Pauli errors, where the circuit is too large for exact noise; None for
            always the same.
    """
    circuit, noise, subsets = m.circuit, m.noise, m.subsets
    if noise is None or noise.is_nothing:
        return pure_values(m, run_circuit(circuit, params, psi))
    if subsets is None:
        if m.exact and m.outcomes <= psi.shape[1]:
            return noise_on.probabilities(circuit, noise, params, psi, m.outcomes)
        return values_of(m, outcome_probabilities(m, params, psi, rng))
    if m.exact:
        return noise_on.expval_parity(circuit, noise, params, psi, subsets)
    return noise_on.trajectory_parity(
        circuit, noise, params, psi, subsets, _errors(rng), noise.trajectories
    )


def pure_values(m: Measurement, final: States) -> Values:
    """Values of pure states at the end of the circuit."""
    if m.subsets is None:
        return readout.probabilities(final)[: m.outcomes].T
    return readout.expval_parity(final, m.subsets)


def outcome_probabilities(
    m: Measurement, params: Angles, psi: States, rng: PRNGKeyArray | None = None
) -> Float[Array, "batch outcomes"]:
    """Probability of every basis state to be read; arguments as of `expected_values`."""
    circuit, noise = m.circuit, m.noise
    if noise is None or noise.is_nothing:
        return readout.probabilities(run_circuit(circuit, params, psi)).T
    if m.exact:
        return noise_on.outcome_probabilities(circuit, noise, params, psi)
    return noise_on.trajectory_probabilities(
        circuit, noise, params, psi, _errors(rng), noise.trajectories
    )


def values_of(m: Measurement, frequencies: Float[Array, "batch outcomes"]) -> Values:
    """Values, of how often each basis state is seen."""
    if m.subsets is None:
        return frequencies[:, : m.outcomes]
    return readout.parities(frequencies.T, m.subsets)


def observables(m: Measurement) -> Float[Array, "values strings"]:
    """Pauli coefficients of what is read as each value, for up to 8 qubits."""
    noise = m.noise or NoiseModel()
    if m.subsets is None:
        return jnp.asarray(outcome_coefficients(m.outcomes, m.circuit, noise))
    strings = [dict.fromkeys(subset, "Z") for subset in m.subsets]
    return jnp.asarray(pauli_coefficients(strings, m.circuit, noise))


def _errors(rng: PRNGKeyArray | None) -> PRNGKeyArray:
    return jax.random.key(0) if rng is None else rng
