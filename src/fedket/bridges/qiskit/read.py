"""A `QuantumCircuit` as a circuit program, by way of OpenQASM 3."""

from typing import Any

import numpy as np
from qiskit import QuantumCircuit, qasm3
from qiskit.circuit import Parameter
from qiskit.quantum_info import Statevector

from fedket.bridges.program import CircuitProgram
from fedket.bridges.qasm.reader import base_name, read_qasm
from fedket.errors import CircuitError, ConfigError

REFUSED = {
    "measure": "a measurement; fedket reads expectation values (`readout`)",
    "reset": "a reset, which is a measurement",
    "if_else": "control flow",
    "for_loop": "control flow",
    "while_loop": "control flow",
    "switch_case": "control flow",
    "initialize": 'a state that is prepared; use model.encoding = "amplitude"',
}


def circuit_of(named: Any, name: str) -> QuantumCircuit:
    """A circuit, or what a function without arguments returns.

    Raises:
        ConfigError: It is none.
    """
    found = named if isinstance(named, QuantumCircuit) or not callable(named) else named()
    if not isinstance(found, QuantumCircuit):
        raise ConfigError(
            f"`{name}` is a {type(found).__name__}; it should be a Qiskit `QuantumCircuit`, or a "
            "function that returns one"
        )
    return found


def split_parameters(
    circuit: QuantumCircuit, inputs: tuple[str, ...]
) -> tuple[list[Parameter], list[Parameter]]:
    """Weights and features, each in the order of `circuit.parameters`."""
    features = [p for p in circuit.parameters if base_name(p.name) in inputs]
    return [p for p in circuit.parameters if p not in features], features


def read_circuit(
    circuit: QuantumCircuit, name: str, inputs: tuple[str, ...] = ("x", "inputs")
) -> CircuitProgram:
    """Read a circuit; weights and features are those of `split_parameters`.

    Args:
        circuit: The circuit.
        name: What it is called, for messages.
        inputs: Names, without numbers, of the parameters that are features.

    Raises:
        CircuitError: It holds something that cannot be trained; one line names it.
    """
    for instruction in circuit.data:
        if instruction.operation.name in REFUSED:
            said = REFUSED[instruction.operation.name]
            raise CircuitError(f"{name} holds `{instruction.operation.name}`: {said}")
    weights, features = split_parameters(circuit, inputs)
    # Names of equal length keep their order, and need no escape.
    new = {p: Parameter(f"w{k:06}") for k, p in enumerate(weights)}
    new |= {p: Parameter(f"x{k:06}") for k, p in enumerate(features)}
    try:
        text = qasm3.dumps(circuit.assign_parameters(new))
    except qasm3.QASM3ExporterError as error:
        said = str(error).strip('"')
        raise CircuitError(f"{name} cannot be written as gates: {said}") from None
    read = read_qasm(text, f"{name} in OpenQASM 3", ("x",))
    if (len(read.weights), len(read.features)) != (len(weights), len(features)):
        raise CircuitError(f"{name} has parameters that it does not use")
    return read.program


def largest_disagreement(
    circuit: QuantumCircuit, inputs: tuple[str, ...], run: Any, draws: int = 3
) -> float:
    """1 − |overlap| between Qiskit's state and a translation's, on random parameters.

    Args:
        circuit: The circuit.
        inputs: As of `read_circuit`.
        run: (weights, x of shape (1, features)) -> state, as a column.
        draws: How many.
    """
    weights, features = split_parameters(circuit, inputs)
    worst = 0.0
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        w, x = rng.uniform(-np.pi, np.pi, len(weights)), rng.uniform(0.1, 1, len(features))
        bound = circuit.assign_parameters(dict(zip([*weights, *features], [*w, *x], strict=True)))
        theirs = Statevector(bound).reverse_qargs().data
        worst = max(worst, 1 - abs(np.vdot(theirs, np.asarray(run(w, x[None]))[:, 0])))
    return worst
