"""Barren plateaus: how the variance of gradients falls with qubits and layers.

The state that enters is |0…0⟩, f = ⟨ψ(θ)|P|ψ(θ)⟩ of a Pauli string P, and what is measured is the
variance of ∂f/∂θ_j over draws of all angles (McClean et al. 2018, arXiv:1803.11173), as `Start`
draws them. On a plateau it falls exponentially with the number of qubits.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple, get_args

import jax
import numpy as np
from jaxtyping import Array, Float, Key, PRNGKeyArray

from fedket.errors import CircuitError
from fedket.quantum.circuit import Circuit
from fedket.quantum.encoding import zero_state
from fedket.quantum.engine import run_circuit
from fedket.quantum.memory import check_memory
from fedket.quantum.readout import expval, parse_pauli
from fedket.rng import Purpose, rng_for

Start = Literal["uniform", "small", "layerwise"]
"""How angles are drawn: uniform in [−π, π); from N(0, 0.1²); or uniform in the first layer and 0 in
all others, where layer-wise learning begins (Skolik et al. 2021, arXiv:2006.14904).
"""
STARTS: tuple[Start, ...] = get_args(Start)
SMALL = 0.1
"""Standard deviation of small angles, radians."""

AMPLITUDES = 2**16
"""Amplitudes of the draws that are worked out side by side."""


class GradientVariance(NamedTuple):
    """Variances over draws of the angles.

    Attributes:
        angles: Of the derivative with respect to each angle, shape (layers, slots).
        angle_errors: Standard errors of `angles`, same shape.
        mean: Mean of `angles`.
        mean_error: Its standard error; angles of one draw are not independent.
    """

    angles: Float[np.ndarray, "layers slots"]
    angle_errors: Float[np.ndarray, "layers slots"]
    mean: float
    mean_error: float


class Slope(NamedTuple):
    """Slope of ln Var against the number of qubits: −ln 2 where each qubit halves the variance.

    Attributes:
        value: Of the straight line of least squares.
        standard_error: What the errors of the variances make of it.
    """

    value: float
    standard_error: float


def gradient_variance(
    circuit: Circuit,
    observable: str = "Z0 Z1",
    *,
    draws: int = 300,
    seed: int = 0,
    start: Start = "uniform",
    dtype: Literal["float32", "float64"] = "float32",
) -> GradientVariance:
    """Variance of the gradient of ⟨observable⟩ over random angles.

    Args:
        circuit: The circuit, at least one angle.
        observable: A Pauli string such as `"Z0 Z1"`; `"Z*"`, `"X*"` or `"Y*"` is that matrix on
            every qubit.
        draws: Independent draws of all angles, at least 2. The relative error of a
            variance is about √(2/draws), more where gradients are far from normal.
        seed: Decides the draws, together with the numbers of qubits and layers.
        start: How angles are drawn.
        dtype: Precision of the simulation; in float32 variances below about 1e-13 are rounding.

    Raises:
        CircuitError: A circuit without angles, no such Pauli string, fewer than 2 draws, or not
            enough memory.
    """
    qubits = circuit.num_qubits
    if draws < 2 or not circuit.num_params:
        raise CircuitError(
            f"a variance of gradients needs at least 2 draws and 1 angle, got {draws} and "
            f"{circuit.num_params}"
        )
    if observable in ("X*", "Y*", "Z*"):
        observable = " ".join(f"{observable[0]}{qubit}" for qubit in range(qubits))
    parse_pauli(observable, qubits)
    width = max(1, min(draws, AMPLITUDES >> qubits))
    check_memory(qubits, width, 16 if dtype == "float64" else 8)
    with jax.enable_x64(dtype == "float64"):
        # Circuits of a study have draws of their own, so that a slope's error is right.
        rng = rng_for(seed, Purpose.ANGLES, qubits, circuit.num_layers)
        found = _gradients(circuit, observable, width, start, jax.random.split(rng, draws))
    gradients = np.asarray(found, np.float64)
    squares = (gradients - gradients.mean(axis=0)) ** 2 * (draws / (draws - 1))
    of_draws = squares.mean(axis=(1, 2))
    return GradientVariance(
        squares.mean(axis=0),
        squares.std(axis=0, ddof=1) / np.sqrt(draws),
        float(of_draws.mean()),
        float(of_draws.std(ddof=1) / np.sqrt(draws)),
    )


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _gradients(
    circuit: Circuit, observable: str, width: int, start: Start, rngs: Key[Array, " draws"]
) -> Float[Array, "draws layers slots"]:
    def value(angles: Float[Array, "layers slots"]) -> Float[Array, ""]:
        final = run_circuit(circuit, angles, zero_state(circuit.num_qubits))
        return expval(final, observable)[0, 0]

    def draw(rng: PRNGKeyArray) -> Float[Array, "layers slots"]:
        gradient: Array = jax.grad(value)(_drawn(start, circuit.params_shape, rng))
        return gradient

    gradients: Array = jax.lax.map(draw, rngs, batch_size=width)
    return gradients


def _drawn(start: Start, shape: tuple[int, int], rng: PRNGKeyArray) -> Array:
    if start == "small":
        return SMALL * jax.random.normal(rng, shape)
    angles = jax.random.uniform(rng, shape, minval=-np.pi, maxval=np.pi)
    return angles if start == "uniform" else angles.at[1:].set(0)


def fit_slope(
    num_qubits: Sequence[int], variances: Sequence[float], errors: Sequence[float]
) -> Slope | None:
    """Fit ln Var = a + slope · qubits.

    Args:
        num_qubits: Sizes of one circuit.
        variances: Of each size; sizes without any gradient are left out.
        errors: Standard errors of the variances, from independent draws.

    Returns:
        The slope, or None for fewer than two sizes.
    """
    sizes, values, spread = (np.asarray(given, float) for given in (num_qubits, variances, errors))
    kept = values > 0
    if len(set(sizes[kept])) < 2:
        return None
    centred = sizes[kept] - sizes[kept].mean()
    weights = centred / (centred @ centred)
    relative = spread[kept] / values[kept]
    return Slope(float(weights @ np.log(values[kept])), float(np.linalg.norm(weights * relative)))
