"""The noisy circuits of `noise` on PennyLane's default.mixed and Qiskit Aer's density matrices."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import median_ms, wall_ms
from fedket.quantum import noise
from fedket.quantum.circuit import Circuit
from fedket.quantum.shots import num_shifts

BATCH = 32
PENNYLANE_SAMPLES = 4
"""Of a batch, those that PennyLane is timed on."""


class Task(NamedTuple):
    """A circuit, what is read, inputs, and depolarising noise.

    Attributes:
        circuit: The circuit.
        subsets: Qubits of each product of Zs.
        angles: Shape `circuit.params_shape`.
        psi: States that enter, (2**n, BATCH).
        labels: (BATCH,).
        one_p: PennyLane's p after gates on one qubit.
        pair_lambda: λ after gates on two.
    """

    circuit: Circuit
    subsets: tuple[tuple[int, ...], ...]
    angles: jax.Array
    psi: jax.Array
    labels: np.ndarray
    one_p: float
    pair_lambda: float


def pennylane_ms(task: Task) -> float:
    """One loss and gradient under PennyLane's default.mixed with autograd.

    It takes one sample at a time: timed are some of the batch, for all of it.
    """
    import pennylane as qml
    from pennylane import numpy as pnp

    node, states = _mixed(task, "autograd"), _normalised(task.psi)

    def loss(params: Any) -> Any:
        total = 0.0
        for state, label in zip(states.T[:PENNYLANE_SAMPLES], task.labels, strict=False):
            values = pnp.stack(node(params, state))
            if len(task.subsets) == 1:
                total = total + (values[0] - (1 - 2 * label)) ** 2
            else:
                total = total + pnp.log(pnp.exp(10 * values).sum()) - 10 * values[label]
        return total / BATCH

    params = pnp.array(np.asarray(task.angles, np.float64), requires_grad=True)
    grad = qml.grad(loss)
    return wall_ms(lambda: grad(params)) * BATCH / PENNYLANE_SAMPLES


def pennylane_jit_ms(task: Task) -> float:
    """The same compiled by JAX, all samples side by side; for several values."""
    node, labels = _mixed(task, "jax"), task.labels
    each = jax.vmap(lambda params, state: jnp.stack(node(params, state)), (None, 0))

    def loss(params: jax.Array, states: jax.Array) -> jax.Array:
        logits = jax.nn.log_softmax(10 * each(params, states))
        return -logits[np.arange(BATCH), labels].mean()

    states = jnp.asarray(_normalised(task.psi).T, jnp.complex64)
    step = jax.jit(jax.value_and_grad(loss))
    return median_ms(lambda: jax.block_until_ready(step(task.angles, states)))


def _normalised(psi: jax.Array) -> np.ndarray:
    """In PennyLane's precision."""
    states = np.asarray(psi, np.complex128)
    return states / np.linalg.norm(states, axis=0)


def _mixed(task: Task, interface: str) -> Any:
    """The noisy circuit on default.mixed: (angles, state) -> values."""
    import pennylane as qml

    strings = [np.kron(a, b) for a in noise.channels.PAULIS for b in noise.channels.PAULIS]
    weights = np.sqrt([1 - 15 * task.pair_lambda / 16] + [task.pair_lambda / 16] * 15)
    kraus = [weight * string for weight, string in zip(weights, strings, strict=True)]
    wires = range(task.circuit.num_qubits)

    @qml.qnode(qml.device("default.mixed", wires=wires), interface=interface)
    def node(params: Any, state: Any) -> Any:
        qml.StatePrep(state, wires=wires, validate_norm=False)
        for layer in range(task.circuit.num_layers):
            for gate in task.circuit.layer:
                slots = [params[layer, slot] for slot in gate.slots]
                getattr(qml, gate.name)(*slots, wires=gate.qubits)
                if len(gate.qubits) == 1:
                    qml.DepolarizingChannel(task.one_p, wires=gate.qubits)
                else:
                    qml.QubitChannel(kraus, wires=gate.qubits)
        return [qml.expval(qml.prod(*map(qml.PauliZ, subset))) for subset in task.subsets]

    return node


def aer_ms(task: Task) -> float:
    """One loss and gradient under Aer's density matrices: values, times all shifted circuits.

    Aer has no gradients of its own; the parameter-shift rule takes two values for each angle. The
    states that enter are prepared without noise.
    """
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import DensityMatrix, SparsePauliOp
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel, depolarizing_error

    subsets, angles, psi = task.subsets, task.angles, task.psi
    num_qubits, rename = task.circuit.num_qubits, {"CNOT": "cx"}
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(4 * task.one_p / 3, 1), ["rx", "ry", "rz"])
    model.add_all_qubit_quantum_error(depolarizing_error(task.pair_lambda, 2), ["cx", "cz"])
    strings = [SparsePauliOp.from_sparse_list([("Z" * len(s), s, 1)], num_qubits) for s in subsets]
    circuits = []
    for state in np.asarray(psi, np.complex128).T:
        circuit = QuantumCircuit(num_qubits)
        circuit.set_density_matrix(DensityMatrix(state / np.linalg.norm(state)))
        for layer in np.asarray(angles):
            for gate in task.circuit.layer:
                name = rename.get(gate.name, gate.name.lower())
                given = [float(layer[slot]) for slot in gate.slots]
                getattr(circuit, name)(*given, *gate.qubits)
        for string in strings:
            circuit.save_expectation_value(string, range(num_qubits), label=str(string.paulis[0]))
        circuits.append(circuit)
    simulator = AerSimulator(method="density_matrix", noise_model=model)
    simulator.run(circuits).result()
    values = wall_ms(lambda: simulator.run(circuits).result())
    return values * (1 + num_shifts(task.circuit))
