"""OpenQASM 3 text -> `CircuitProgram`.

Read are qubits, `input` parameters, constants, gates of `stdgates.inc`, gates that the file defines
of them, and the modifiers `ctrl` and `inv`. A circuit that is trained has neither measurements nor
control flow: these and all else are refused by name, with their line.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import openqasm3
from openqasm3 import ast

from fedket.bridges.expressions import Angle, feature, weight
from fedket.bridges.gates import CONTROLLED, FOREIGN, expand_gate, invert
from fedket.bridges.program import MAX_OPERATIONS, MAX_QUBITS, CircuitProgram, Operation
from fedket.bridges.qasm.definitions import Definition, same_gate
from fedket.bridges.qasm.expressions import read_angle, read_integer
from fedket.errors import CircuitError, meant

MAX_CHARACTERS = 2**20
"""Of a file; its parser takes a minute for as much."""

MAX_PARAMETERS = 100_000

REFUSED = {
    "QuantumMeasurementStatement": "a measurement; fedket reads the state itself (`readout`)",
    "QuantumReset": "a reset, which is a measurement",
    "BranchingStatement": "control flow (`if`); write the gates out",
    "ForInLoop": "control flow (`for`); write the gates out",
    "WhileLoop": "control flow (`while`); write the gates out",
    "SwitchStatement": "control flow (`switch`); write the gates out",
    "SubroutineDefinition": "control flow (`def`); define a `gate` instead",
    "DelayInstruction": "a delay, which trains nothing",
}
IGNORED = (ast.QuantumBarrier, ast.ClassicalDeclaration, ast.CalibrationGrammarDeclaration)

Bits = Mapping[str, tuple[int, ...]]


class QasmCircuit(NamedTuple):
    """A file that was read.

    Attributes:
        program: What it does.
        weights: Names of the weights, in order.
        features: Names of the features, in order.
    """

    program: CircuitProgram
    weights: tuple[str, ...]
    features: tuple[str, ...]


def base_name(name: str) -> str:
    """A parameter's name without its number: `x` of `x0`, `x_0`, `x[0]` and `_x_0_`."""
    return re.sub(r"[\W_]*\d*[\W_]*$", "", name.strip("_")) or name


def read_qasm(text: str, source: str, inputs: tuple[str, ...] = ("x", "inputs")) -> QasmCircuit:
    """Read a circuit.

    Args:
        text: OpenQASM 3.
        source: Name of the file, for messages.
        inputs: Names, without numbers, of the parameters that are features; the others are trained.

    Raises:
        CircuitError: It is no OpenQASM 3, or has something that cannot be trained.
    """
    if len(text) > MAX_CHARACTERS:
        raise CircuitError(f"{source} has more than {MAX_CHARACTERS:,} characters")
    if re.match(r"\s*OPENQASM\s+2", re.sub(r"//.*", "", text)):
        raise CircuitError(f"{source} is OpenQASM 2; write OpenQASM 3")
    try:
        tree = openqasm3.parse(text)
        return _Reader(source, inputs).read(tree)
    except (openqasm3.parser.QASM3ParsingError, RecursionError) as error:
        said = " ".join(str(error).split()) or "it cannot be parsed"
        raise CircuitError(f"{source} is no OpenQASM 3: {said[:200]}") from None


class _Reader:
    """What is known on the way through a file."""

    def __init__(self, source: str, inputs: tuple[str, ...]) -> None:
        self._source, self._inputs = source, inputs
        self._values: dict[str, Angle | tuple[Angle, ...]] = {}
        self._weights: list[str] = []
        self._features: list[str] = []
        self._registers: dict[str, tuple[int, ...]] = {}
        self._num_qubits = 0
        self._definitions: dict[str, Definition] = {}
        self._count = 0

    def read(self, tree: ast.Program) -> QasmCircuit:
        operations: list[Operation] = []
        for node in tree.statements:
            try:
                operations += self._statement(node)
            except CircuitError as error:
                line = node.span.start_line if node.span else 0
                raise CircuitError(f"{self._source}, line {line}: {error}") from None
        if not self._num_qubits:
            raise CircuitError(f"{self._source} declares no qubits: `qubit[4] q;`")
        weights, features = tuple(self._weights), tuple(self._features)
        program = CircuitProgram(self._num_qubits, tuple(operations), len(weights), len(features))
        return QasmCircuit(program, weights, features)

    def _statement(self, node: ast.Statement | ast.Pragma) -> list[Operation]:
        match node:
            case ast.Include():
                if node.filename != "stdgates.inc":
                    raise CircuitError(
                        f"include of `{node.filename}`; only `stdgates.inc` is known, write its "
                        "gates into the file"
                    )
            case ast.QubitDeclaration():
                self._declare_qubits(node)
            case ast.IODeclaration():
                self._declare_parameter(node)
            case ast.ConstantDeclaration():
                self._values[node.identifier.name] = read_angle(node.init_expression, self._values)
            case ast.QuantumGateDefinition():
                self._define(node)
            case ast.QuantumGate():
                return list(self._broadcast(node))
            case ast.QuantumPhase() if not node.modifiers:
                pass  # a global phase
            case _ if not isinstance(node, IGNORED):
                kind = type(node).__name__
                raise CircuitError(f"{REFUSED.get(kind, f'`{kind}`')} cannot be trained")
        return []

    def _declare_qubits(self, node: ast.QubitDeclaration) -> None:
        size = (
            1 if node.size is None else read_integer(node.size, self._values, "a register's size")
        )
        first, self._num_qubits = self._num_qubits, self._num_qubits + size
        if size < 1 or self._num_qubits > MAX_QUBITS:
            raise CircuitError(f"{self._num_qubits} qubits; fedket simulates 1 to {MAX_QUBITS}")
        self._registers[node.qubit.name] = tuple(range(first, self._num_qubits))

    def _declare_parameter(self, node: ast.IODeclaration) -> None:
        name, kind = node.identifier.name, node.type
        if node.io_identifier is ast.IOKeyword.output:
            raise CircuitError(f"`output {name}`; fedket reads the state itself (`readout`)")
        if isinstance(kind, ast.ArrayType) and isinstance(
            kind.base_type, ast.FloatType | ast.AngleType
        ):
            if len(kind.dimensions) != 1:
                raise CircuitError(f"`{name}` has more than one dimension; declare a flat array")
            size = read_integer(kind.dimensions[0], self._values, f"the size of `{name}`")
            if not 1 <= size <= MAX_PARAMETERS:
                raise CircuitError(f"`{name}` has {size} entries; 1 to {MAX_PARAMETERS} are read")
            self._values[name] = tuple(self._parameter(name, f"{name}[{i}]") for i in range(size))
        elif isinstance(kind, ast.FloatType | ast.AngleType):
            self._values[name] = self._parameter(name, name)
        else:
            raise CircuitError(f"`{name}` is no number: `input float[64] {name};`")

    def _parameter(self, declared: str, name: str) -> Angle:
        if base_name(declared) in self._inputs:
            self._features.append(name)
            return feature(len(self._features) - 1)
        self._weights.append(name)
        return weight(len(self._weights) - 1)

    def _define(self, node: ast.QuantumGateDefinition) -> None:
        name, places, same = node.name.name, tuple(range(len(node.qubits))), False
        if name in self._definitions:
            raise CircuitError(f"gate `{name}` is defined twice")
        for step in node.body:
            used = step.name.name if isinstance(step, ast.QuantumGate) else ""
            if used == name or (used and used not in {*FOREIGN, *self._definitions}):
                raise CircuitError(f"unknown gate `{used}` in the definition of `{name}`")
        if name in FOREIGN:
            angles = tuple(weight(place) for place in range(len(node.arguments)))
            same = same_gate(name, len(places), len(angles), list(self._body(node, places, angles)))
        self._definitions[name] = Definition(node, FOREIGN[name] if same else None)

    def _body(
        self, node: ast.QuantumGateDefinition, qubits: tuple[int, ...], angles: tuple[Angle, ...]
    ) -> Iterator[Operation]:
        """What a definition does on some qubits with some angles."""
        names = {q.name: (qubit,) for q, qubit in zip(node.qubits, qubits, strict=True)}
        constants = {k: v for k, v in self._values.items() if isinstance(v, Angle) and not v.terms}
        own = constants | {a.name: angle for a, angle in zip(node.arguments, angles, strict=True)}
        for step in node.body:
            if isinstance(step, ast.QuantumPhase) and not step.modifiers:
                continue
            if not isinstance(step, ast.QuantumGate):
                raise CircuitError(
                    f"gate `{node.name.name}` cannot be expanded: it holds a "
                    f"`{type(step).__name__}`"
                )
            given = tuple(read_angle(argument, own) for argument in step.arguments)
            places = [self._qubits(qubit, names) for qubit in step.qubits]
            yield from self._apply(step, tuple(p for (p,) in places), given)

    def _broadcast(self, node: ast.QuantumGate) -> Iterator[Operation]:
        """A gate on qubits, or on whole registers side by side."""
        angles = tuple(read_angle(argument, self._values) for argument in node.arguments)
        places = [self._qubits(qubit, self._registers) for qubit in node.qubits]
        sizes = {len(p) for p in places if len(p) > 1} or {1}
        if len(sizes) > 1:
            raise CircuitError(f"`{node.name.name}` on registers of different sizes")
        for number in range(sizes.pop()):
            yield from self._apply(
                node, tuple(p[number] if len(p) > 1 else p[0] for p in places), angles
            )

    def _apply(
        self, node: ast.QuantumGate, qubits: tuple[int, ...], angles: tuple[Angle, ...]
    ) -> list[Operation]:
        name, inverted = node.name.name, False
        for modifier in reversed(node.modifiers):
            kind = modifier.modifier.name
            if kind == "inv":
                inverted = not inverted
            elif kind == "ctrl" and modifier.argument is None and not inverted:
                name, angles = self._with_control(name, angles)
            else:
                raise CircuitError(f"modifier `{kind}` of `{node.name.name}` is not read here")
        if len(set(qubits)) < len(qubits):
            raise CircuitError(f"`{name}` names a qubit twice")
        operations = self._expand(name, qubits, angles)
        return invert(operations) if inverted else operations

    def _with_control(self, name: str, angles: tuple[Angle, ...]) -> tuple[str, tuple[Angle, ...]]:
        if name in self._definitions and self._definitions[name].equal_to is None:
            raise CircuitError(f"`ctrl @ {name}`: the gate is the file's own; define it controlled")
        if name in ("U", "u3", "u", "u2", "id") or name not in CONTROLLED:
            raise CircuitError(
                f"`ctrl @ {name}` is not read; use `cu(θ, φ, λ, γ)` or define a gate"
            )
        return CONTROLLED[name], angles

    def _expand(
        self, name: str, qubits: tuple[int, ...], angles: tuple[Angle, ...]
    ) -> list[Operation]:
        own = self._definitions.get(name)
        known = FOREIGN.get(name) if own is None else own.equal_to
        if own is not None:
            num_qubits, num_angles = len(own.node.qubits), len(own.node.arguments)
        elif known is not None:
            num_qubits, num_angles = known.num_qubits, known.num_angles
        else:
            raise CircuitError(
                f"unknown gate `{name}`{meant(name, [*FOREIGN, *self._definitions])}"
            )
        if (len(qubits), len(angles)) != (num_qubits, num_angles):
            raise CircuitError(
                f"`{name}` takes {num_qubits} qubits and {num_angles} angles, got {len(qubits)} "
                f"and {len(angles)}"
            )
        if own is not None and known is None:
            return list(self._body(own.node, qubits, angles))
        operations = expand_gate(name, qubits, angles)
        self._count += len(operations)
        if self._count > MAX_OPERATIONS:
            raise CircuitError(f"the circuit has more than {MAX_OPERATIONS:,} gates")
        return operations

    def _qubits(self, node: ast.Identifier | ast.IndexedIdentifier, known: Bits) -> tuple[int, ...]:
        name = node.name if isinstance(node, ast.Identifier) else node.name.name
        register = known.get(name)
        if register is None:
            raise CircuitError(f"unknown qubit `{name}`")
        if isinstance(node, ast.Identifier):
            return register
        index = node.indices[0]
        first = index[0] if isinstance(index, list) and len(index) == 1 else None
        if len(node.indices) > 1 or not isinstance(first, ast.Expression):
            raise CircuitError(f"`{name}[…]`: name one qubit, `{name}[0]`")
        place = read_integer(first, self._values, f"the index of `{name}`")
        if not -len(register) <= place < len(register):
            raise CircuitError(f"`{name}[{place}]`: qubits go from 0 to {len(register) - 1}")
        return (register[place],)
