"""Random Pauli errors as gates of a longer circuit, for circuits that let no error through.

A Pauli after a gate is one rotation Rot(α, β, 0) with angles 0 or π, up to a phase: I (0, 0),
X (π, π), Y (0, π), Z (π, 0). So a trajectory is a pure circuit with some more angles, whatever its
gates are, and the plain engine runs it.
"""

from math import pi

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from fedket.quantum.circuit import Circuit, Gate
from fedket.quantum.engine import run_circuit
from fedket.quantum.noise.channels import Channel
from fedket.quantum.noise.frames import draw_paulis
from fedket.quantum.noise.model import NoiseModel


def with_errors(circuit: Circuit, noise: NoiseModel) -> tuple[Circuit, list[Channel]]:
    """The circuit with a rotation on each qubit of every channel, and the channels in order.

    Their slots follow the circuit's own: three for each qubit of each channel.
    """
    gates, channels, slot = [], [], circuit.num_slots
    for gate in circuit.layer:
        gates.append(gate)
        for channel, qubits in noise.after(gate):
            channels.append(channel)
            for qubit in qubits:
                gates.append(Gate("Rot", (qubit,), (slot, slot + 1, slot + 2)))
                slot += 3
    return Circuit(circuit.num_qubits, tuple(gates), circuit.num_layers), channels


def run_with_errors(
    circuit: Circuit,
    noise: NoiseModel,
    params: Float[Array, "layers slots"],
    psi: Complex[Array, "dim batch"],
    rng: PRNGKeyArray,
    trajectories: int,
) -> Complex[Array, "dim columns"]:
    """Final states of some trajectories, which all states share.

    Args:
        circuit: The circuit.
        noise: Pauli channels after its gates.
        params: Angles in radians, shape `circuit.params_shape`.
        psi: States that enter, as columns.
        rng: Decides the errors.
        trajectories: How many.

    Returns:
        Shape (2**num_qubits, batch · trajectories), a state's trajectories side by side.
    """
    longer, channels = with_errors(circuit, noise)

    def one(rng: PRNGKeyArray) -> Complex[Array, "dim batch"]:
        errors = _draw_angles(rng, channels, circuit.num_layers).astype(params.dtype)
        return run_circuit(longer, jnp.concatenate([params, errors], axis=1), psi)

    final = jax.lax.map(one, jax.random.split(rng, trajectories))
    return jnp.moveaxis(final, 0, 2).reshape(len(psi), -1)


def _draw_angles(
    rng: PRNGKeyArray, channels: list[Channel], num_layers: int
) -> Float[Array, "layers slots"]:
    """Angles of the inserted rotations."""
    bits = jax.random.bits(rng, (len(channels), num_layers), jnp.uint32)
    angles = [jnp.zeros((num_layers, 0))]
    for channel, drawn in zip(channels, bits, strict=True):
        index = draw_paulis(channel, drawn)
        for place in reversed(range(channel.num_qubits)):
            letter = (index >> (2 * place)) & 3
            alpha, beta = letter % 2 == 1, (letter == 1) | (letter == 2)
            angles.append(jnp.stack([pi * alpha, pi * beta, 0.0 * beta], axis=1))
    return jnp.concatenate(angles, axis=1)
