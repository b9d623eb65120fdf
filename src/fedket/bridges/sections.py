"""Where a circuit repeats itself: a program cut into circuits of one layer, each applied in turn.

The engine compiles a layer once, however often it is repeated. A circuit that is written out gate
by gate would take minutes to compile, so the repeated part is looked for.
"""

from typing import NamedTuple

import numpy as np

from fedket.bridges.expressions import Angle, Symbol
from fedket.bridges.program import Operation
from fedket.quantum.circuit import Circuit, Gate

LEAST_SAVING = 4
"""A repetition counts if it spares 1 / this of a section's gates: each section costs a scan."""


class Section(NamedTuple):
    """A circuit, and its angles as sums over weights and other symbols.

    Attributes:
        circuit: The circuit; every angle has a slot of its own.
        symbols: What angles read besides weights.
        sources: Of each angle, layer by layer: which entries of (weights, symbols) it reads.
        factors: The coefficients of these entries.
        constants: What is added to each angle.
    """

    circuit: Circuit
    symbols: tuple[Symbol, ...]
    sources: tuple[tuple[int, ...], ...]
    factors: tuple[tuple[float, ...], ...]
    constants: tuple[float, ...]


def split_encoder(
    operations: tuple[Operation, ...],
) -> tuple[tuple[Operation, ...], tuple[Operation, ...]]:
    """Gates that differ between samples, with all that must come before them; then the others."""
    encoder: list[Operation] = []
    others: list[Operation] = []
    reached: set[int] = set()
    for operation in reversed(operations):
        if operation.of_sample or reached & set(operation.qubits):
            encoder.append(operation)
            reached |= set(operation.qubits)
        else:
            others.append(operation)
    return tuple(reversed(encoder)), tuple(reversed(others))


def make_sections(
    operations: tuple[Operation, ...], num_qubits: int, num_weights: int
) -> tuple[Section, ...]:
    """Cut a list of gates into repeated layers and what lies between them."""
    if not operations:
        return ()
    start, period, count = repeated_part(operations)
    if count == 1:
        return (whole_section(operations, num_qubits, num_weights),)
    end = start + period * count
    return (
        *make_sections(operations[:start], num_qubits, num_weights),
        whole_section(operations[start:end], num_qubits, num_weights, count),
        *make_sections(operations[end:], num_qubits, num_weights),
    )


def repeated_part(operations: tuple[Operation, ...]) -> tuple[int, int, int]:
    """Start, length and number of repetitions of the layer whose repetition spares most gates."""
    kinds: dict[tuple[str, tuple[int, ...]], int] = {}
    words = np.array([kinds.setdefault((o.name, o.qubits), len(kinds)) for o in operations])
    best, spared = (0, len(words), 1), len(words) // LEAST_SAVING
    for period in range(1, len(words) // 2 + 1):
        start, length = _longest_run(words[period:] == words[:-period])
        count = (length + period) // period
        if (count - 1) * period > spared:
            best, spared = (start, period, count), (count - 1) * period
    return best


def _longest_run(same: np.ndarray) -> tuple[int, int]:
    """Start and length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    if not len(edges):
        return 0, 0
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    longest = int(np.argmax(lengths))
    return int(starts[longest]), int(lengths[longest])


def whole_section(
    operations: tuple[Operation, ...], num_qubits: int, num_weights: int, count: int = 1
) -> Section:
    """Gates as one section, `count` layers of equal gates."""
    layer, slot = [], 0
    for name, qubits, angles in operations[: len(operations) // count]:
        layer.append(Gate(name, qubits, tuple(range(slot, slot + len(angles)))))
        slot += len(angles)
    flat = [angle for operation in operations for angle in operation.angles]
    places: dict[Symbol, int] = {}
    for angle in flat:
        for symbol, _ in angle.terms:
            if symbol.name != "weight":
                places.setdefault(symbol, num_weights + len(places))
    width = max((len(angle.terms) for angle in flat), default=0)
    rows = [_row(angle, places, width) for angle in flat]
    return Section(
        Circuit(num_qubits, tuple(layer), count),
        tuple(places),
        tuple(sources for sources, _ in rows),
        tuple(factors for _, factors in rows),
        tuple(angle.constant for angle in flat),
    )


def _row(
    angle: Angle, places: dict[Symbol, int], width: int
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Sources and factors of an angle, filled up with zeros."""
    empty = width - len(angle.terms)
    sources = [s.place if s.name == "weight" else places[s] for s, _ in angle.terms]
    return (*sources, *[0] * empty), (*(c for _, c in angle.terms), *[0.0] * empty)
