"""How a noisy layer is executed in the Pauli basis, decided once per circuit and noise model.

A block is a weighted permutation of Pauli strings (CNOT, CZ, SWAP, and the Pauli noise after them),
then one real matrix M = N R on each qubit or pair of qubits: R the gates', N the noise after them.
A block ends where a gate meets a qubit whose noise it cannot pass, so that a gradient needs R
alone and N may be singular.
"""

from functools import lru_cache
from typing import NamedTuple

import jax
import numpy as np

from fedket.errors import CircuitError
from fedket.quantum.circuit import Circuit, Gate
from fedket.quantum.gates import GATES
from fedket.quantum.noise.channels import Channel, pauli_strings
from fedket.quantum.noise.model import MAX_HEISENBERG_QUBITS, NoiseModel


class Move(NamedTuple):
    """v'[j] = weight[j] · v[source[j]] on all Pauli strings; arrays of shape (4**n,)."""

    source: np.ndarray
    weight: np.ndarray

    @property
    def moves(self) -> bool:
        """Whether any string changes its place."""
        return not np.array_equal(self.source, np.arange(self.source.size))

    def transposed(self) -> "Move":
        """The same towards the beginning of the circuit."""
        back = np.argsort(self.source).astype(np.int32)
        return Move(back, self.weight[back])


class Factor(NamedTuple):
    """Gates on one qubit or a pair, then noise: a transfer matrix, shape (4**k, 4**k)."""

    qubits: tuple[int, ...]
    gates: tuple[Gate, ...]
    noise: np.ndarray


class Block(NamedTuple):
    """A permutation of Pauli strings, then factors on different qubits.

    Attributes:
        move: The permutation, or None.
        singles: Factors on one qubit, in ascending order.
        pairs: Factors on two qubits.
    """

    move: Move | None
    singles: tuple[Factor, ...]
    pairs: tuple[Factor, ...]

    @property
    def trainable(self) -> bool:
        """Whether any gate takes an angle."""
        return any(g.slots for f in (*self.singles, *self.pairs) for g in f.gates)


@lru_cache(maxsize=64)
def plan_noisy(circuit: Circuit, noise: NoiseModel) -> tuple[Block, ...]:
    """Cut a layer and its noise into blocks.

    Raises:
        CircuitError: The circuit is too large, or the noise model does not describe it.
    """
    check_exact(circuit, noise)
    plan = _Plan(circuit.num_qubits)
    for gate in circuit.layer:
        plan.add_gate(gate)
        for channel, qubits in noise.after(gate):
            plan.add_noise(channel, qubits)
    plan.end_block()
    return tuple(plan.blocks)


def check_exact(circuit: Circuit, noise: NoiseModel) -> None:
    """Refuse what the exact method does not serve.

    Raises:
        CircuitError: The circuit is too large, or the noise model does not describe it.
    """
    noise.check(circuit)
    if circuit.num_qubits > MAX_HEISENBERG_QUBITS:
        raise CircuitError(
            f"exact noise serves circuits of up to {MAX_HEISENBERG_QUBITS} qubits, this one has "
            f"{circuit.num_qubits}; use fewer qubits, or no noise"
        )


class _Plan:
    """The blocks so far, and the one that is being filled."""

    def __init__(self, num_qubits: int) -> None:
        self.blocks: list[Block] = []
        self._index = np.arange(4**num_qubits, dtype=np.int32)
        self._num_qubits = num_qubits
        self._start()

    def _start(self) -> None:
        self._source, self._weight = self._index, np.ones(self._index.size)
        self._factors: dict[tuple[int, ...], Factor] = {}

    def end_block(self) -> None:
        """Begin the next block, unless this one is empty."""
        moved = self._source is not self._index or not (self._weight == 1).all()
        if moved or self._factors:
            move = Move(self._source, self._weight) if moved else None
            singles, pairs = (
                tuple(self._factors[place] for place in sorted(self._factors) if len(place) == size)
                for size in (1, 2)
            )
            self.blocks.append(Block(move, singles, pairs))
        self._start()

    def add_gate(self, gate: Gate) -> None:
        if GATES[gate.name].monomial:
            self._free(gate.qubits)
            self._permute(gate.qubits, *_clifford(gate.name))
            return
        factor = self._factors.get(gate.qubits)
        if factor is None or not Channel(factor.noise).is_depolarising:
            self._free(gate.qubits)
            factor = _nothing(gate.qubits)
        self._factors[gate.qubits] = factor._replace(gates=(*factor.gates, gate))

    def add_noise(self, channel: Channel, qubits: tuple[int, ...]) -> None:
        touched = self._touched(qubits)
        if channel.is_pauli and not touched:
            size = 4 ** len(qubits)
            self._permute(qubits, np.arange(size), channel.transfer.diagonal())
            return
        place = next((place for place in touched if set(qubits) <= set(place)), qubits)
        if touched - {place}:
            self.end_block()
        factor = self._factors.get(place, _nothing(place))
        self._factors[place] = factor._replace(noise=_on(channel, qubits, place) @ factor.noise)

    def _touched(self, qubits: tuple[int, ...]) -> set[tuple[int, ...]]:
        return {place for place in self._factors if set(place) & set(qubits)}

    def _free(self, qubits: tuple[int, ...]) -> None:
        """Begin a new block if a factor of this one acts on any of the qubits."""
        if self._touched(qubits):
            self.end_block()

    def _permute(self, qubits: tuple[int, ...], source: np.ndarray, weight: np.ndarray) -> None:
        """Follow up with v'[j] = weight[j] · v[source[j]] on some qubits."""
        shifts = [2 * (self._num_qubits - 1 - qubit) for qubit in qubits]
        local = np.zeros_like(self._index)
        cleared = self._index
        for shift in shifts:
            local = 4 * local + ((self._index >> shift) & 3)
            cleared = cleared & ~(3 << shift)
        before = cleared
        for place, shift in enumerate(reversed(shifts)):
            before = before | (((source[local] >> (2 * place)) & 3) << shift).astype(np.int32)
        if not np.array_equal(before, self._index):
            self._source = self._source[before]
        self._weight = self._weight[before] * weight[local]


def _nothing(qubits: tuple[int, ...]) -> Factor:
    return Factor(qubits, (), np.eye(4 ** len(qubits)))


def _on(channel: Channel, qubits: tuple[int, ...], place: tuple[int, ...]) -> np.ndarray:
    """Transfer matrix of a channel on some qubits of a factor, on all of them."""
    transfer, one = channel.transfer, np.eye(4)
    if len(qubits) < len(place):
        return np.kron(transfer, one) if qubits[0] == place[0] else np.kron(one, transfer)
    if qubits != place:
        transfer = transfer.reshape(4, 4, 4, 4).transpose(1, 0, 3, 2).reshape(16, 16)
    return transfer


@lru_cache(maxsize=8)
def _clifford(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Source and sign of every Pauli string under a gate that permutes them, shape (16,) each."""
    with jax.ensure_compile_time_eval():
        unitary = np.asarray(GATES[name].matrix())
    strings = pauli_strings(2)
    transfer = np.einsum("iab,bc,jcd,ad->ij", strings, unitary, strings, unitary.conj()).real / 4
    source = np.abs(transfer).argmax(axis=1)
    return source, np.round(transfer[np.arange(16), source])
