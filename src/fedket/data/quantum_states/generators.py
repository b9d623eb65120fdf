"""Generator circuits: NTangled's ansatz, its public weights' layout, and training to a target.

Weights have shape (layers, qubits, 3): angles (θ, φ, λ) of U3 = RZ(φ) RY(θ) RZ(λ), in radians.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Float32

from fedket.errors import DataError
from fedket.quantum.circuit import Circuit, Gate, check_circuit
from fedket.quantum.encoding import product_state
from fedket.quantum.engine import run_circuit

Measure = Callable[[Complex[Array, "dim batch"]], Float[Array, " batch"]]
"""Resource of each state, for example `concentratable_entanglement`."""

STEPS, LEARNING_RATE, BATCH = 200, 0.05, 27
"""Of training: Adam's steps and rate, and inputs per step."""

TOLERANCE = 0.05
"""How far a trained generator's mean may be from a target t, as a multiple of 1 + t."""

Draw = Callable[[int], Complex[np.ndarray, "count qubits 2"]]
"""How many -> that many random product inputs, new ones with every call."""


class Generator(NamedTuple):
    """A fixed circuit that makes states of about one value of a resource.

    Attributes:
        circuit: The circuit.
        angles: Its angles in radians, shape `circuit.params_shape`.
    """

    circuit: Circuit
    angles: Float32[np.ndarray, "layers slots"]


def hardware_efficient(num_qubits: int, num_layers: int) -> Circuit:
    """NTangled's hardware-efficient layer (arXiv:2109.03400, figure 4).

    U3 on every qubit, CZ on (0,1), (2,3), …, the same U3 with the same angles again, CZ on (1,2),
    (3,4), …. Slots 3q, 3q+1, 3q+2 are θ, φ, λ of qubit q.
    """
    turns = [Gate("Rot", (q,), (3 * q + 2, 3 * q, 3 * q + 1)) for q in range(num_qubits)]
    even, odd = (
        [Gate("CZ", (q, q + 1)) for q in range(start, num_qubits - 1, 2)] for start in (0, 1)
    )
    circuit = Circuit(num_qubits, (*turns, *even, *turns, *odd), num_layers)
    check_circuit(circuit)
    return circuit


def from_weights(weights: Float[np.ndarray, "layers qubits 3"]) -> Generator:
    """The generator of NTangled's weights."""
    layers, qubits, _ = weights.shape
    return Generator(
        hardware_efficient(qubits, layers), weights.reshape(layers, -1).astype(np.float32)
    )


def generate(
    generator: Generator, inputs: Complex[Array | np.ndarray, "count qubits 2"]
) -> Complex[Array, "dim count"]:
    """States as columns, one for each product input."""
    run = jax.jit(run_circuit, static_argnums=0)
    psi: Complex[Array, "dim count"] = run(
        generator.circuit, jnp.asarray(generator.angles), product_state(jnp.asarray(inputs))
    )
    return psi


def train_generator(
    measure: Measure,
    target: float,
    circuit: Circuit,
    draw: Draw,
    seed: int,
) -> Generator:
    """Choose angles so that the resource of the generated states comes near a target.

    Minimises the mean of (measure − target)² over fresh inputs by Adam, all fixed by the seed.

    Args:
        measure: The resource.
        target: Its wanted value.
        circuit: The ansatz.
        draw: Where inputs come from.
        seed: Of the starting angles.

    Raises:
        DataError: If the mean over inputs does not come near the target: the circuit is too
            shallow, or no state of so many qubits has so much.
    """
    batches = jnp.asarray(np.stack([draw(BATCH) for _ in range(STEPS)]))
    start = 0.3 * jax.random.normal(jax.random.key(seed), circuit.params_shape, jnp.float32)
    generator = Generator(
        circuit, np.asarray(_descend(measure, circuit, start, batches, jnp.float32(target)))
    )
    reached = float(jax.jit(measure)(generate(generator, draw(BATCH))).mean())
    if abs(reached - target) > TOLERANCE * (1 + target):
        raise DataError(
            f"a generator of {circuit.num_qubits} qubits and {circuit.num_layers} layers reached "
            f"{reached:.3f} instead of the target {target}; use another target or more layers"
        )
    return generator


@partial(jax.jit, static_argnums=(0, 1))
def _descend(
    measure: Measure,
    circuit: Circuit,
    start: Float[Array, "layers slots"],
    batches: Complex[Array, "steps count qubits 2"],
    target: Float[Array, ""],
) -> Float[Array, "layers slots"]:
    """Adam on the mean squared distance from the target, one step per batch of inputs."""
    import optax

    optimizer = optax.adam(LEARNING_RATE)

    def objective(angles: Array, inputs: Array) -> Array:
        values = measure(run_circuit(circuit, angles, product_state(inputs)))
        return ((values - target) ** 2).mean()

    def step(carry: Any, inputs: Array) -> tuple[Any, None]:
        angles, state = carry
        updates, state = optimizer.update(jax.grad(objective)(angles, inputs), state)
        return (optax.apply_updates(angles, updates), state), None

    (angles, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), batches)
    return angles
