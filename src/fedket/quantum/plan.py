"""How a layer is executed: the gate list cut into blocks, decided once per circuit.

Two kinds of block. A *product block* is a monomial (CNOT, CZ, SWAP) followed by one-qubit gates,
applied two neighbouring qubits at a time with the monomial folded in where it is local. A *window
block* multiplies everything on a few qubits into one dense matrix; it serves trainable two-qubit
gates and states too narrow to vectorise over the batch.
"""

from functools import lru_cache
from typing import NamedTuple

from fedket.quantum.circuit import Circuit, Gate
from fedket.quantum.gates import GATES
from fedket.quantum.monomial import Monomial, compose_monomials

MAX_WINDOW = 4
"""Qubits of a window in JAX: of 3, 4 and 5 the fastest for a chain of two-qubit gates on 13."""

MAX_FOLD = 4
"""Qubits a folded kernel may read: 16 slices."""

NARROW_BATCH = 4
"""Below this many states at once, windows beat vectorising over the batch."""


class PairStep(NamedTuple):
    """Apply the one-qubit gates of `qubits` (1 or 2 neighbours) after a local monomial.

    Attributes:
        qubits: Neighbouring qubits whose gates are applied together.
        dense: Whether they carry any gate; if not, only the monomial acts.
        width: Qubits read, from the first of `qubits` on.
        monomial: Signed permutation on those `width` qubits, or None.
    """

    qubits: tuple[int, ...]
    dense: bool
    width: int
    monomial: Monomial | None


class ProductBlock(NamedTuple):
    """A monomial, then one-qubit gates; `gates[q]` are those of qubit q, in order.

    Attributes:
        gates: One tuple of gates per qubit, possibly empty.
        prelude: Monomial on the whole register that could not be folded, or None.
        steps: The kernels, in order.
    """

    gates: tuple[tuple[Gate, ...], ...]
    moves: tuple[Gate, ...]
    prelude: Monomial | None
    steps: tuple[PairStep, ...]

    @property
    def trainable(self) -> bool:
        """Whether any gate takes an angle."""
        return any(gate.slots for gates in self.gates for gate in gates)


class WindowBlock(NamedTuple):
    """Gates whose product is one dense matrix on `qubits`: neighbours, or two far apart."""

    qubits: tuple[int, ...]
    gates: tuple[Gate, ...]

    @property
    def control(self) -> int | None:
        """A qubit that only says which gate the other one of a pair gets; None without one."""
        if len(self.qubits) != 2:
            return None
        return next((c for c in self.qubits if all(_leaves(c, gate) for gate in self.gates)), None)


CONTROLLED = ("CNOT", "CRX", "CRY", "CRZ", "CU3")


def _leaves(control: int, gate: Gate) -> bool:
    """Whether a gate leaves a qubit's basis states as they are."""
    return control not in gate.qubits or (gate.name in CONTROLLED and gate.qubits[0] == control)


Block = ProductBlock | WindowBlock


@lru_cache(maxsize=256)
def plan_layer(circuit: Circuit, narrow: bool, max_window: int = MAX_WINDOW) -> tuple[Block, ...]:
    """Cut the layer of a circuit into blocks.

    Args:
        circuit: The circuit.
        narrow: Whether fewer than `NARROW_BATCH` states are simulated at once.
        max_window: Neighbouring qubits that a window may cover, 2 or more.
    """
    entangles = any(
        GATES[gate.name].num_qubits == 2 and not GATES[gate.name].monomial for gate in circuit.layer
    )
    if narrow or entangles:
        return _window_blocks(circuit, max_window)
    return _product_blocks(circuit)


def _product_blocks(circuit: Circuit) -> tuple[ProductBlock, ...]:
    """Start a new block whenever a monomial gate meets a qubit that already has a gate."""
    blocks: list[ProductBlock] = []
    moves: list[Gate] = []
    turns: list[list[Gate]] = [[] for _ in range(circuit.num_qubits)]
    for gate in circuit.layer:
        if not GATES[gate.name].monomial:
            turns[gate.qubits[0]].append(gate)
            continue
        if any(turns[qubit] for qubit in gate.qubits):
            blocks.append(_product_block(moves, turns))
            moves, turns = [], [[] for _ in range(circuit.num_qubits)]
        moves.append(gate)
    if moves or any(turns):
        blocks.append(_product_block(moves, turns))
    return tuple(blocks)


def _product_block(moves: list[Gate], turns: list[list[Gate]]) -> ProductBlock:
    num_qubits = len(turns)
    gates = tuple(tuple(gates) for gates in turns)
    if any(turns):
        steps = _folded_steps(moves, gates)
        if steps is not None:
            return ProductBlock(gates, tuple(moves), None, steps)
    prelude = compose_monomials(moves, range(num_qubits)) if moves else None
    return ProductBlock(gates, tuple(moves), prelude, _folded_steps([], gates) or ())


def _folded_steps(
    moves: list[Gate], gates: tuple[tuple[Gate, ...], ...]
) -> tuple[PairStep, ...] | None:
    """Hang each monomial gate on the first pair of qubits it must precede; None if one reaches far.

    Pairs are treated from qubit 0 on; what a pair must wait for is the causal past of its qubits.
    """
    steps = []
    rest = list(moves)
    for start in range(0, len(gates), 2):
        qubits = tuple(range(start, min(start + 2, len(gates))))
        past, rest, reach = _causal_past(rest, set(qubits))
        if min(reach) < start or max(reach) >= start + MAX_FOLD:
            return None
        width = max(reach) - start + 1
        monomial = compose_monomials(past, range(start, start + width)) if past else None
        dense = any(gates[qubit] for qubit in qubits)
        if dense or monomial is not None:
            steps.append(PairStep(qubits, dense, width, monomial))
    return tuple(steps)


def _causal_past(gates: list[Gate], qubits: set[int]) -> tuple[list[Gate], list[Gate], set[int]]:
    """Split gates into those that must act before anything later on `qubits` may, and the rest.

    The third result is every qubit the first part touches.
    """
    past, rest, reach = [], [], set(qubits)
    for gate in reversed(gates):
        if reach & set(gate.qubits):
            past.append(gate)
            reach |= set(gate.qubits)
        else:
            rest.append(gate)
    return past[::-1], rest[::-1], reach


def _window_blocks(circuit: Circuit, max_window: int) -> tuple[WindowBlock, ...]:
    """Put every gate into the earliest window it can join without passing a gate it must follow.

    One-qubit gates wait until a two-qubit gate takes their qubit along, so that a ring such as
    CU3(0,1), CU3(1,2), … falls into few windows.
    """
    windows: list[tuple[set[int], list[Gate]]] = []
    waiting: dict[int, list[Gate]] = {}
    for gate in circuit.layer:
        if len(gate.qubits) == 1:
            waiting.setdefault(gate.qubits[0], []).append(gate)
            continue
        group = [g for qubit in gate.qubits for g in waiting.pop(qubit, [])] + [gate]
        _join(windows, set(gate.qubits), group, max_window)
    for qubit in sorted(waiting):
        _join(windows, {qubit}, waiting[qubit], max_window)
    return tuple(
        WindowBlock(_covering(qubits, max_window), tuple(gates)) for qubits, gates in windows
    )


def _join(
    windows: list[tuple[set[int], list[Gate]]],
    qubits: set[int],
    gates: list[Gate],
    max_window: int,
) -> None:
    earliest = max((i for i, (seen, _) in enumerate(windows) if seen & qubits), default=0)
    for seen, members in windows[earliest:]:
        if qubits <= seen or _span(seen | qubits) <= max_window:
            seen |= qubits
            members.extend(gates)
            return
    windows.append((set(qubits), list(gates)))


def _span(qubits: set[int]) -> int:
    return max(qubits) - min(qubits) + 1


def _covering(qubits: set[int], max_window: int) -> tuple[int, ...]:
    """The run of neighbours around the qubits, or the qubits themselves if two are far apart."""
    if _span(qubits) > max_window:
        return tuple(sorted(qubits))
    return tuple(range(min(qubits), max(qubits) + 1))
