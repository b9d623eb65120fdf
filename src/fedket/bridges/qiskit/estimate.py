"""A circuit program on a Qiskit backend: expectation values through a V2 estimator."""

import threading
from typing import Any, NamedTuple

import numpy as np
from qiskit.circuit import Parameter
from qiskit.primitives import BackendEstimatorV2, BaseEstimatorV2
from qiskit.providers import BackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager

from fedket.bridges.device import ForeignFunction
from fedket.bridges.program import Operation
from fedket.bridges.qiskit.write import write_circuit
from fedket.errors import ConfigError
from fedket.quantum.circuit import Gate
from fedket.quantum.readout import parse_pauli


class Backend(NamedTuple):
    """Where circuits run.

    Attributes:
        name: For messages.
        estimator: Qiskit's V2 estimator.
        target: The backend that circuits are translated for; None for any circuit.
        precision: Standard error that is asked for; 0 for none, None for the estimator's own.
        keeps_jobs: Whether the ids of its jobs can be looked up later.
    """

    name: str
    estimator: Any
    target: Any
    precision: float | None
    keeps_jobs: bool


def open_backend(named: Any, name: str, shots: int) -> Backend:
    """Make an estimator of what a user names.

    Args:
        named: A V2 estimator or a backend of the user's own; None for what `name` says.
        name: `aer`, `ibm:NAME`, or the user's own name.
        shots: Shots of a circuit; 0 for exact values of `aer`, and a backend's own default.

    Raises:
        ConfigError: There is no such backend.
    """
    precision = shots**-0.5 if shots else None
    if name == "aer":
        from qiskit_aer import AerSimulator
        from qiskit_aer.primitives import EstimatorV2 as AerEstimator

        if not shots:
            return Backend("Aer, exact", AerEstimator(), None, 0.0, False)
        simulator = AerSimulator()
        return Backend("Aer", BackendEstimatorV2(backend=simulator), simulator, precision, False)
    if name.startswith("ibm:"):
        from qiskit_ibm_runtime import EstimatorV2, QiskitRuntimeService

        backend = QiskitRuntimeService().backend(name.removeprefix("ibm:"))
        return Backend(name, EstimatorV2(mode=backend), backend, precision, True)
    if isinstance(named, BackendV2):
        return Backend(name, BackendEstimatorV2(backend=named), named, precision, True)
    if isinstance(named, BaseEstimatorV2) or hasattr(named, "run"):
        target = getattr(named, "backend", None)
        target = target() if callable(target) else target
        return Backend(name, named, target, precision, True)
    raise ConfigError(
        f"model.backend: `{name}` is a {type(named).__name__}; it should be a Qiskit backend or an "
        "estimator of its V2 primitives"
    )


def estimated(
    backend: Backend, num_qubits: int, operations: tuple[Operation, ...], strings: tuple[str, ...]
) -> ForeignFunction:
    """Expectation values of Pauli strings as a function of all angles that are no numbers.

    Args:
        backend: Where they run.
        num_qubits: Qubits of the circuit.
        operations: Gates, see `fedket.bridges.decompose`; rows are the angles of `open_angles`.
        strings: Observables.

    Raises:
        ConfigError: The backend has fewer qubits.
    """
    available = getattr(backend.target, "num_qubits", None)
    if available is not None and available < num_qubits:
        raise ConfigError(
            f"device `{backend.name}` has {available} qubits, the circuit {num_qubits}; name a "
            "larger one in model.backend"
        )
    circuit = _with_parameters(num_qubits, operations)
    observables = [_observable(text, num_qubits) for text in strings]
    if backend.target is not None:
        passes = generate_preset_pass_manager(optimization_level=1, backend=backend.target)
        circuit = passes.run(circuit)
        observables = [o.apply_layout(circuit.layout) for o in observables]
    order = np.array([int(p.name[1:]) for p in circuit.parameters], int)
    trained = np.array([a.of_weights for o in operations for a in o.angles if a.terms], bool)
    calls = _Calls(backend)

    def values(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:  # noqa: ARG001
        return calls.run((circuit, [observables], rows[:, None, order]))

    def pulled(
        weights: np.ndarray, rows: np.ndarray, cotangent: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        columns = np.flatnonzero(trained)
        shifts = np.zeros((2 * len(columns), rows.shape[1]))
        shifts[np.arange(len(columns)), columns] = np.pi / 2
        shifts[len(columns) + np.arange(len(columns)), columns] = -np.pi / 2
        shifted = (rows[:, None] + shifts).reshape(-1, rows.shape[1])
        found = values(weights, shifted).reshape(len(rows), 2, len(columns), -1)
        gradient = np.zeros_like(rows)
        slopes = (found[:, 0] - found[:, 1]) / 2
        gradient[:, columns] = np.einsum("bak,bk->ba", slopes, cotangent)
        return np.zeros_like(weights), gradient

    name = f"device `{backend.name}`"
    return ForeignFunction(name, len(strings), values, pulled, calls.take_jobs, calls.cancel)


class _Calls:
    """The jobs of a backend: the one that runs, and the ids of those before."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self._lock = backend, threading.Lock()
        self._jobs: list[str] = []
        self._running: Any = None

    def run(self, pub: tuple[Any, ...]) -> np.ndarray:
        """Values of one PUB."""
        job = self._running = self._backend.estimator.run([pub], precision=self._backend.precision)
        if self._backend.keeps_jobs:
            with self._lock:
                self._jobs.append(str(job.job_id()))
        return np.asarray(job.result()[0].data.evs, np.float64)

    def take_jobs(self) -> tuple[str, ...]:
        """Ids since it was asked last."""
        with self._lock:
            jobs, self._jobs = tuple(self._jobs), []
        return jobs

    def cancel(self) -> None:
        """Cancel the job that runs, if its kind can be."""
        if hasattr(self._running, "cancel"):
            self._running.cancel()


def _with_parameters(num_qubits: int, operations: tuple[Operation, ...]) -> Any:
    """Each angle that is no number is a parameter of its own."""
    gates, place = [], 0
    for name, qubits, angles in operations:
        given: list[Any] = []
        for angle in angles:
            given.append(Parameter(f"a{place:06}") if angle.terms else angle.constant)
            place += bool(angle.terms)
        gates.append((Gate(name, qubits), tuple(given)))
    return write_circuit(num_qubits, gates)


def _observable(text: str, num_qubits: int) -> SparsePauliOp:
    string = parse_pauli(text, num_qubits)
    return SparsePauliOp("".join(string.get(q, "I") for q in reversed(range(num_qubits))))
