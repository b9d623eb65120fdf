"""Gates that the engine does not have: other names, and gates made of its own.

Equal up to a global phase, which no measurement shows. Noise acts on the gates that they are made
of, as on a device that has no others.
"""

from typing import NamedTuple

ALIASES = {
    "CX": "CNOT",
    "P": "RZ",
    "U": "U3",
    "Sdg": "SDG",
    "Tdg": "TDG",
    "Hadamard": "H",
    "PauliX": "X",
    "PauliY": "Y",
    "PauliZ": "Z",
    "PhaseShift": "RZ",
    "IsingXX": "RXX",
    "IsingYY": "RYY",
    "IsingZZ": "RZZ",
    "Toffoli": "CCX",
}
"""Names in Qiskit, OpenQASM and PennyLane -> ours."""

Step = tuple[str, tuple[int, ...], tuple[int, ...]]


class Composite(NamedTuple):
    """A gate made of others.

    Attributes:
        num_qubits: Qubits it acts on.
        num_angles: Angles it takes.
        steps: Gate of the engine, its places among those qubits and its angles among those.
    """

    num_qubits: int
    num_angles: int
    steps: tuple[Step, ...]


def _on(names: str, *places: int) -> list[Step]:
    """Gates without angles, `A B C`, each on the same places."""
    return [(name, places, ()) for name in names.split()]


def _each(name: str) -> list[Step]:
    return [*_on(name, 0), *_on(name, 1)]


_RZZ: list[Step] = [*_on("CNOT", 0, 1), ("RZ", (1,), (0,)), *_on("CNOT", 0, 1)]
_RXX = [*_each("H"), *_RZZ, *_each("H")]
_CCX = [  # Nielsen and Chuang, figure 4.9
    *_on("H", 2),
    *_on("CNOT", 1, 2),
    *_on("TDG", 2),
    *_on("CNOT", 0, 2),
    *_on("T", 2),
    *_on("CNOT", 1, 2),
    *_on("TDG", 2),
    *_on("CNOT", 0, 2),
    *_on("T", 1),
    *_on("T H", 2),
    *_on("CNOT", 0, 1),
    *_on("T", 0),
    *_on("TDG", 1),
    *_on("CNOT", 0, 1),
]
_CX21 = _on("CNOT", 2, 1)

COMPOSITES: dict[str, Composite] = {
    "CY": Composite(2, 0, (*_on("SDG", 1), *_on("CNOT", 0, 1), *_on("S", 1))),
    "RXX": Composite(2, 1, tuple(_RXX)),
    "RYY": Composite(2, 1, (*_each("SDG"), *_RXX, *_each("S"))),
    "RZZ": Composite(2, 1, tuple(_RZZ)),
    "ISWAP": Composite(
        2, 0, (*_each("S"), *_on("H", 0), *_on("CNOT", 0, 1), *_on("CNOT", 1, 0), *_on("H", 1))
    ),
    "CCX": Composite(3, 0, tuple(_CCX)),
    "CSWAP": Composite(3, 0, (*_CX21, *_CCX, *_CX21)),
}
"""R(θ)(AA) = exp(−iθ AA/2); ISWAP, CCX and CSWAP as everywhere."""
