"""Random Pauli errors of a whole circuit, pushed forward to where they cost nothing.

A Pauli frame holds two bits per qubit and trajectory: whether an X and whether a Z is pending.
CNOT, CZ and SWAP take a frame to another one; a rotation U cannot, so what is pending on its qubit
is applied just before it, as U P. What is left at the end flips the signs of the read-out.
Blocks are those of `fedket.quantum.plan`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray, UInt32

from fedket.errors import CircuitError
from fedket.quantum.circuit import Circuit, Gate
from fedket.quantum.gates import GATES
from fedket.quantum.noise.channels import Channel, pauli_probabilities
from fedket.quantum.noise.model import NoiseModel


class Frame(NamedTuple):
    """Paulis X^x Z^z; the last two axes are qubits and columns, one per sample and trajectory."""

    x: Bool[Array, "*place qubits columns"]
    z: Bool[Array, "*place qubits columns"]


def check_trajectories(circuit: Circuit, noise: NoiseModel) -> None:
    """Refuse what Pauli trajectories do not serve.

    Raises:
        CircuitError: A channel is not a random Pauli, or the noise model does not describe the
            circuit.
    """
    noise.check(circuit)
    for gate in circuit.layer:
        if not all(channel.is_pauli for channel, _ in noise.after(gate)):
            raise CircuitError(
                f"noise on {circuit.num_qubits} qubits is worked out by Pauli trajectories, which "
                "serve depolarising and Pauli channels, not damping or relaxation; use those, or "
                "up to 8 qubits"
            )


def pushes_forward(circuit: Circuit, noise: NoiseModel) -> bool:
    """Whether every error reaches the next rotation of its qubit, or the end, as a Pauli.

    Rotations of two qubits let none through; between two gates on one qubit only noise that
    commutes with both may stand, since the engine multiplies them into one.
    """
    turned: dict[int, bool] = {}
    for gate in circuit.layer:
        if len(gate.qubits) == 2:
            if not GATES[gate.name].monomial:
                return False
            if any(qubit in turned for qubit in gate.qubits):
                turned = {}
        else:
            if not turned.get(gate.qubits[0], True):
                return False
            turned[gate.qubits[0]] = True
        for channel, qubits in noise.after(gate):
            for qubit in turned.keys() & set(qubits):
                turned[qubit] &= channel.is_depolarising
    return True


def sample_frames(
    rng: PRNGKeyArray, circuit: Circuit, noise: NoiseModel, num_blocks: int, columns: int
) -> tuple[Frame, Frame]:
    """Draw the errors of some trajectories.

    Args:
        rng: Decides them.
        circuit: Of gates on one qubit, and CNOT, CZ, SWAP.
        noise: Pauli channels after its gates.
        num_blocks: Blocks of the circuit's layer.
        columns: How many trajectories.

    Returns:
        What to apply before each block's rotations, bits (layers, blocks, qubits, columns), and
        what is pending at the end, bits (qubits, columns).
    """
    locations = sum(len(noise.after(gate)) for gate in circuit.layer)
    nothing = jnp.zeros((circuit.num_qubits, columns), bool)

    def layer(frame: Frame, rng: PRNGKeyArray) -> tuple[Frame, Frame]:
        walk = _Walk(*frame)
        draws = iter(jax.random.bits(rng, (locations, columns), jnp.uint32))
        for gate in circuit.layer:
            walk.gate(gate)
            for channel, qubits in noise.after(gate):
                walk.error(qubits, draw_paulis(channel, next(draws)))
        return walk.frame(), walk.before(num_blocks, nothing)

    rngs = jax.random.split(rng, circuit.num_layers)
    last, before = jax.lax.scan(layer, Frame(nothing, nothing), rngs)
    return before, last


def draw_paulis(channel: Channel, bits: UInt32[Array, " columns"]) -> Int[Array, " columns"]:
    """Index of a random Pauli string of a channel, from uniform bits."""
    bounds = np.cumsum(pauli_probabilities(channel))[:-1] * 2.0**32
    bounds = np.minimum(bounds, 2.0**32 - 1).astype(np.uint32)
    return (bits[None] >= bounds[:, None]).sum(axis=0)


class _Walk:
    """A frame on its way through a layer; bits are arrays over columns."""

    def __init__(self, x: Any, z: Any) -> None:
        self._x, self._z = list(x), list(z)
        self._block = 0
        self._turned: set[int] = set()
        self._before: dict[tuple[int, int], tuple[Any, Any]] = {}

    def frame(self) -> Frame:
        return Frame(jnp.stack(self._x), jnp.stack(self._z))

    def before(self, num_blocks: int, nothing: Array) -> Frame:
        """What was applied before rotations, bits (blocks, qubits, columns)."""
        found = [
            [self._before.get((block, q), (nothing[q], nothing[q])) for q in range(len(nothing))]
            for block in range(num_blocks)
        ]
        x, z = (jnp.stack([jnp.stack([pair[i] for pair in row]) for row in found]) for i in (0, 1))
        return Frame(x, z)

    def gate(self, gate: Gate) -> None:
        """Take the frame through a gate."""
        if len(gate.qubits) == 1:
            self._rotate(gate.qubits[0])
            return
        if any(qubit in self._turned for qubit in gate.qubits):
            self._block, self._turned = self._block + 1, set()
        self._push(gate.name, *gate.qubits)

    def error(self, qubits: tuple[int, ...], index: Any) -> None:
        """Add a drawn Pauli string: two bits of its index per qubit, the first most significant."""
        for place, qubit in enumerate(reversed(qubits)):
            letter = (index >> (2 * place)) & 3
            self._x[qubit] = self._x[qubit] ^ ((letter == 1) | (letter == 2))
            self._z[qubit] = self._z[qubit] ^ (letter >= 2)

    def _rotate(self, qubit: int) -> None:
        x, z = self._before.get((self._block, qubit), (False, False))
        self._before[self._block, qubit] = self._x[qubit] ^ x, self._z[qubit] ^ z
        self._x[qubit] = self._x[qubit] & False
        self._z[qubit] = self._z[qubit] & False
        self._turned.add(qubit)

    def _push(self, name: str, first: int, second: int) -> None:
        x, z = self._x, self._z
        if name == "CNOT":
            x[second], z[first] = x[second] ^ x[first], z[first] ^ z[second]
        elif name == "CZ":
            z[first], z[second] = z[first] ^ x[second], z[second] ^ x[first]
        else:  # SWAP
            x[first], x[second] = x[second], x[first]
            z[first], z[second] = z[second], z[first]
