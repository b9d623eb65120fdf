"""A QNode as a circuit program, and as functions of NumPy arrays."""

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
from jaxtyping import Array
from pennylane import numpy as pnp

from fedket.bridges.device import ForeignFunction
from fedket.bridges.expressions import Angle, traced
from fedket.bridges.gates import expand_gate
from fedket.bridges.pennylane.probe import probe_angles
from fedket.bridges.pennylane.readout import PauliSums, Read, read_measurements
from fedket.bridges.pennylane.tape import Tape, record
from fedket.bridges.program import CircuitProgram
from fedket.errors import CircuitError, ConfigError
from fedket.user_code import in_user_code


class Arguments(NamedTuple):
    """How a QNode is called.

    Attributes:
        inputs: Argument that takes the features of a sample, a vector.
        shapes: Argument that is trained -> its shape.
        num_features: Features of a sample.
    """

    inputs: str
    shapes: dict[str, tuple[int, ...]]
    num_features: int

    @property
    def num_weights(self) -> int:
        """Trained numbers."""
        return sum(prod(shape) for shape in self.shapes.values())

    def named(self, weights: Any, x: Any) -> dict[str, Any]:
        """Keyword arguments of a call; flat arrays of NumPy or JAX."""
        given, start = {self.inputs: x}, 0
        for name, shape in self.shapes.items():
            given[name] = weights[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
        return given


def arguments_of(
    qnode: Any, inputs: str, shapes: Mapping[str, tuple[int, ...]], num_features: int
) -> Arguments:
    """Match names with the QNode's own.

    Args:
        qnode: The QNode.
        inputs: Its argument that takes a sample; empty for the first.
        shapes: Arguments that are trained, with their shapes.
        num_features: Features of a sample.

    Raises:
        ConfigError: It is no QNode, or takes other arguments.
    """
    if not isinstance(qnode, qml.QNode):
        raise ConfigError(
            f"model.circuit is a {type(qnode).__name__}; it should be a QNode: a function with "
            "`@qml.qnode(device)` above it"
        )
    parameters = inspect.signature(qnode.func).parameters
    inputs = inputs or next(iter(parameters), "")
    needed = {n for n, p in parameters.items() if p.default is p.empty and n != inputs}
    if inputs not in parameters or not needed <= set(shapes) <= set(parameters) - {inputs}:
        takes = ", ".join(parameters) or "nothing"
        raise ConfigError(
            f"the QNode `{qnode.func.__name__}` takes {takes}; model.inputs names the argument of "
            f"samples ({inputs or 'none'}), model.weights the others with their shapes, like "
            "weights = { w = [2, 4] }"
        )
    return Arguments(inputs, {n: tuple(shapes[n]) for n in parameters if n in shapes}, num_features)


@contextmanager
def _quietly() -> Iterator[None]:
    """PennyLane warns of what it asks JAX; users can do nothing about that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def is_exact(qnode: Any, arguments: Arguments) -> bool:
    """Whether a QNode gives expectation values without shots."""
    weights, x = np.zeros(arguments.num_weights), np.zeros(arguments.num_features)
    with _quietly():
        script = qml.workflow.construct_tape(qnode, level="user")(**arguments.named(weights, x))
    return script.shots.total_shots is None


def translate(qnode: Any, arguments: Arguments) -> tuple[CircuitProgram, Read, PauliSums | None]:
    """A QNode's circuit as gates of the engine, and what it returns, see `read_measurements`.

    Raises:
        CircuitError: Something in it is not known to fedket; one line names it.
    """
    with _quietly():
        first = record(qnode, arguments.named(*_draw(arguments, 0)))
    words = [(gate.name, gate.qubits) for gate in first.gates]

    def tape(weights: Any, x: Any) -> Tape:
        with _quietly():
            found = record(qnode, arguments.named(weights, x))
        if [(gate.name, gate.qubits) for gate in found.gates] != words:
            raise CircuitError("its gates depend on values, not only its angles")
        return found

    def numbers(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.array([float(a) for gate in tape(weights, x).gates for a in gate.angles])

    angles = probe_angles(numbers, arguments.num_weights, arguments.num_features)
    wanted = [n for n, a in enumerate(angles) if any(s.name == "traced" for s, _ in a.terms)]
    for position, number in enumerate(wanted):
        angles[number] = traced(position)

    def values(weights: Array, x: Array) -> Array:
        all_angles = [angle for gate in tape(weights, x).gates for angle in gate.angles]
        return jnp.stack([jnp.asarray(all_angles[n], weights.dtype) for n in wanted])

    def state(weights: Array, x: Array) -> Array:
        found = tape(weights, x)
        vector = found.preparation.state_vector(wire_order=list(found.qubits))
        return jnp.asarray(vector).reshape(-1) + 0j

    given: Iterator[Angle] = iter(angles)
    operations = [
        operation
        for gate in first.gates
        for operation in expand_gate(
            gate.name, gate.qubits, tuple(next(given) for _ in gate.angles)
        )
    ]
    program = CircuitProgram(
        len(first.qubits),
        tuple(operations),
        arguments.num_weights,
        arguments.num_features,
        values if wanted else None,
        state if first.preparation is not None else None,
    )
    _check_traceable(program, arguments)
    return program, *read_measurements(first.measurements, first.qubits)


def _check_traceable(program: CircuitProgram, arguments: Arguments) -> None:
    """What the program itself must work out, JAX must be able to trace."""
    shapes = [
        jax.ShapeDtypeStruct((size,), np.float32)
        for size in (arguments.num_weights, arguments.num_features)
    ]
    try:
        for function in (program.traced, program.state):
            if function is not None:
                jax.eval_shape(function, *shapes)
    except (jax.errors.JAXTypeError, TypeError, ValueError) as error:
        raise CircuitError(
            "it works out angles with functions that JAX cannot trace; write `qml.math.arctan` "
            f"for `np.arctan` ({type(error).__name__})"
        ) from error


def _draw(arguments: Arguments, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0.1, 0.9, arguments.num_weights), rng.uniform(
        0.1, 0.9, arguments.num_features
    )


def foreign_function(qnode: Any, arguments: Arguments, num_outputs: int) -> ForeignFunction:
    """A QNode on its own device, called for each sample through PennyLane's autograd interface."""

    def one(weights: Any, x: np.ndarray) -> Any:
        results = qnode(**arguments.named(weights, x))
        each = results if isinstance(results, tuple | list) else (results,)
        return qml.math.concatenate([qml.math.reshape(value, (-1,)) for value in each])

    def values(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        with _quietly():
            return np.stack([np.asarray(one(weights, sample)) for sample in x])

    def pulled(
        weights: np.ndarray, x: np.ndarray, cotangent: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        def total(trained: Any) -> Any:
            parts = [pnp.dot(row, one(trained, s)) for s, row in zip(x, cotangent, strict=True)]
            return sum(parts)

        with _quietly():
            gradient = np.asarray(qml.grad(total)(pnp.array(weights, requires_grad=True)))
        return gradient, np.zeros_like(x)

    return ForeignFunction(f"device `{qnode.device.name}`", num_outputs, values, pulled)


def outputs_of(qnode: Any, arguments: Arguments) -> int:
    """How many values a QNode returns for a sample, found out by running it once.

    Raises:
        UserCodeError: It fails in the user's file; or
        ConfigError: elsewhere.
    """
    function = foreign_function(qnode, arguments, 0)
    weights, x = _draw(arguments, 0)
    try:
        return int(function.values(weights, x[None]).shape[1])
    except Exception as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise in_user_code(error) or ConfigError(f"{function.name} fails: {said}") from error


def largest_disagreement(
    qnode: Any, arguments: Arguments, native: Any, exact: bool, draws: int = 3
) -> float:
    """Largest difference between a translation and the QNode on random weights and samples.

    Args:
        qnode: The QNode.
        arguments: How it is called.
        native: (weights, x) -> values, the translation.
        exact: Whether the QNode's own device is exact; else PennyLane's `default.qubit` stands in.
        draws: How many.
    """
    if not exact:
        qnode = qml.QNode(qnode.func, qml.device("default.qubit", wires=qnode.device.wires))
    function = foreign_function(qnode, arguments, 0)
    differences = []
    with jax.enable_x64(True):
        run = jax.jit(native)
        for seed in range(1, draws + 1):
            rng = np.random.default_rng(seed)
            weights = rng.uniform(-np.pi, np.pi, arguments.num_weights)
            x = rng.uniform(0.1, 1, (1, arguments.num_features))
            ours = np.asarray(run(jnp.asarray(weights), jnp.asarray(x)))
            differences.append(np.abs(ours - function.values(weights, x)).max())
    return float(max(differences))
