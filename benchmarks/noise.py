"""Noise beside the noiseless engine: `python -m benchmarks.noise`.

Loss and gradient of batch 32, interleaved in one process, so that ratios hold on a busy machine:
the noiseless engine, depolarising noise after every gate, the same with thermal relaxation, and
where these end in minutes PennyLane's default.mixed (autograd, one sample at a time) and Qiskit
Aer's density matrices with the parameter-shift rule. Times in ms are lower quartiles, ratios are to
the noiseless engine, `exact_compile_s` is the first call. Beyond 8 qubits: one Pauli trajectory,
and eight.
"""

import time
from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import run
from benchmarks.timing import wall_ms
from fedket.quantum import ansatz, noise
from fedket.quantum.circuit import Circuit
from fedket.quantum.engine import run_circuit
from fedket.quantum.noise.model import MAX_EXACT_QUBITS
from fedket.quantum.readout import expval_parity
from fedket.quantum.shots import num_shifts

BATCH = 32
P, LAMBDA = 0.002, 0.01
"""Depolarising: PennyLane's p after gates on one qubit, λ after gates on two."""

T1, T2, ONE_QUBIT_NS, TWO_QUBIT_NS = 150e3, 100e3, 57.0, 533.0
DEPOLARISING = noise.depolarising(4 * P / 3, LAMBDA)
THERMAL = (
    DEPOLARISING
    + noise.after(noise.channels.thermal_relaxation(ONE_QUBIT_NS, T1, T2), "RX", "RY", "RZ", "Rot")
    + noise.after(noise.channels.thermal_relaxation(TWO_QUBIT_NS, T1, T2), "CNOT", "CZ")
)


class Case(NamedTuple):
    """A circuit, how many observables, and the largest ratio it should have (spec, section 7)."""

    circuit: Circuit
    num_values: int
    target: float | None


CASES = {
    "4x2": Case(ansatz.chen_yoo(4, 2), 2, 1.6),
    "4x3": Case(ansatz.qunetqfl(4, 3), 1, None),
    "6x4": Case(ansatz.qunetqfl(6, 4), 1, 2.2),
    "6x20": Case(ansatz.qfedfisher(6, 20), 10, 12.0),
    "8x20": Case(ansatz.qfedfisher(8, 20), 10, 60.0),
    "10x60": Case(ansatz.qfedfisher(10, 60), 10, 1.2),
}


PENNYLANE = ("4x2", "6x4")
"""Cases that PennyLane is timed on: the second takes it minutes."""

AER = ("6x4",)
"""Cases that Qiskit Aer's density matrices are timed on."""

SECONDS = 2.0
"""Time for each case in a process."""


def measure(name: str) -> dict[str, Any]:
    """Times of the noiseless engine and of noise, in turns."""
    case = CASES[name]
    found = _measure(case)
    if name in PENNYLANE:
        found |= _beside("pennylane_mixed", pennylane_ms(case), found)
    if name in AER:
        found |= _beside("aer_parameter_shift", aer_ms(case), found)
    return found


def _beside(peer: str, ms: float, found: dict[str, Any]) -> dict[str, Any]:
    """A peer's loss and gradient, in ms and as a multiple of exact noise's."""
    return {f"{peer}_ms": ms, f"{peer}_to_exact": ms / found["exact_ms"]}


def _measure(case: Case) -> dict[str, Any]:
    subsets, angles, psi, labels = _inputs(case)

    def plain(params: jax.Array) -> jax.Array:
        return _loss(expval_parity(run_circuit(case.circuit, params, psi), subsets), labels)

    def under(model: noise.NoiseModel) -> Callable[[jax.Array], jax.Array]:
        def loss(params: jax.Array) -> jax.Array:
            values = noise.expval_parity(case.circuit, model, params, psi, subsets)
            return _loss(values, labels)

        return loss

    def drawn(count: int) -> Callable[[jax.Array], jax.Array]:
        def loss(params: jax.Array) -> jax.Array:
            values = noise.trajectory_parity(
                case.circuit, DEPOLARISING, params, psi, subsets, jax.random.key(1), count
            )
            return _loss(values, labels)

        return loss

    if case.circuit.num_qubits > MAX_EXACT_QUBITS:
        losses = {"plain": plain, "one": drawn(1), "eight": drawn(8)}
        ms, _ = _timed(losses, angles)
        return {
            **{f"{name}_ms": time for name, time in ms.items()},
            "trajectory_ratio": ms["one"] / ms["plain"],
            "each_of_eight_ratio": ms["eight"] / 8 / ms["plain"],
            "target_ratio": case.target,
        }
    losses = {"plain": plain, "exact": under(DEPOLARISING), "thermal": under(THERMAL)}
    ms, first = _timed(losses, angles)
    return {
        **{f"{name}_ms": time for name, time in ms.items()},
        "exact_ratio": ms["exact"] / ms["plain"],
        "thermal_to_exact": ms["thermal"] / ms["exact"],
        "target_ratio": case.target,
        "exact_compile_s": first["exact"] / 1e3,
    }


def pennylane_ms(case: Case) -> float:
    """One loss and gradient of the same under PennyLane's default.mixed with autograd."""
    import pennylane as qml
    from pennylane import numpy as pnp

    subsets, angles, psi, labels = _inputs(case)
    states, num_qubits = np.asarray(psi, np.complex128), case.circuit.num_qubits
    strings = [np.kron(a, b) for a in noise.channels.PAULIS for b in noise.channels.PAULIS]
    weights = np.sqrt([1 - 15 * LAMBDA / 16] + [LAMBDA / 16] * 15)
    kraus = [weight * string for weight, string in zip(weights, strings, strict=True)]

    @qml.qnode(qml.device("default.mixed", wires=num_qubits))
    def node(params: Any, state: np.ndarray) -> Any:
        qml.StatePrep(state, wires=range(num_qubits))
        for layer in range(case.circuit.num_layers):
            for gate in case.circuit.layer:
                slots = [params[layer, slot] for slot in gate.slots]
                getattr(qml, gate.name)(*slots, wires=gate.qubits)
                if len(gate.qubits) == 1:
                    qml.DepolarizingChannel(P, wires=gate.qubits)
                else:
                    qml.QubitChannel(kraus, wires=gate.qubits)
        return [qml.expval(qml.prod(*map(qml.PauliZ, subset))) for subset in subsets]

    def loss(params: Any) -> Any:
        total = 0.0
        for state, label in zip(states.T, labels, strict=True):
            values = pnp.stack(node(params, state / np.linalg.norm(state)))
            if len(subsets) == 1:
                total = total + (values[0] - (1 - 2 * label)) ** 2
            else:
                total = total + pnp.log(pnp.exp(10 * values).sum()) - 10 * values[label]
        return total / BATCH

    params = pnp.array(np.asarray(angles, np.float64), requires_grad=True)
    grad = qml.grad(loss)
    grad(params)
    return wall_ms(lambda: grad(params))


def aer_ms(case: Case) -> float:
    """One loss and gradient under Aer's density matrices: values, times all shifted circuits.

    Aer has no gradients of its own; the parameter-shift rule takes two values for each angle. The
    states that enter are prepared without noise.
    """
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import DensityMatrix, SparsePauliOp
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel, depolarizing_error

    subsets, angles, psi, _ = _inputs(case)
    num_qubits, rename = case.circuit.num_qubits, {"CNOT": "cx"}
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(4 * P / 3, 1), ["rx", "ry", "rz"])
    model.add_all_qubit_quantum_error(depolarizing_error(LAMBDA, 2), ["cx", "cz"])
    strings = [SparsePauliOp.from_sparse_list([("Z" * len(s), s, 1)], num_qubits) for s in subsets]
    circuits = []
    for state in np.asarray(psi, np.complex128).T:
        circuit = QuantumCircuit(num_qubits)
        circuit.set_density_matrix(DensityMatrix(state / np.linalg.norm(state)))
        for layer in np.asarray(angles):
            for gate in case.circuit.layer:
                name = rename.get(gate.name, gate.name.lower())
                given = [float(layer[slot]) for slot in gate.slots]
                getattr(circuit, name)(*given, *gate.qubits)
        for string in strings:
            circuit.save_expectation_value(string, range(num_qubits), label=str(string.paulis[0]))
        circuits.append(circuit)
    simulator = AerSimulator(method="density_matrix", noise_model=model)
    simulator.run(circuits).result()
    values = wall_ms(lambda: simulator.run(circuits).result())
    return values * (1 + num_shifts(case.circuit))


def _timed(
    losses: dict[str, Callable[[jax.Array], jax.Array]], angles: jax.Array
) -> tuple[dict[str, float], dict[str, float]]:
    """Lower quartiles of loss and gradient, taken in turns, and the first calls, in ms."""
    steps = {name: jax.jit(jax.value_and_grad(loss)) for name, loss in losses.items()}
    calls = {
        name: lambda step=step: jax.block_until_ready(step(angles)) for name, step in steps.items()
    }
    first = {name: wall_ms(call) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times["plain"]) < 5:
        for name, call in calls.items():
            times[name].append(wall_ms(call))
    return {name: float(np.quantile(found, 0.25)) for name, found in times.items()}, first


def _inputs(case: Case) -> tuple[tuple[tuple[int, ...], ...], jax.Array, jax.Array, np.ndarray]:
    """Observables, angles, states and labels."""
    num_qubits, rng = case.circuit.num_qubits, np.random.default_rng(0)
    pairs = sorted(combinations(range(num_qubits), 2), key=lambda pair: pair[1] - pair[0])
    subsets = (*((q,) for q in range(num_qubits)), *pairs)[: case.num_values]
    angles = jnp.asarray(0.5 * rng.normal(size=case.circuit.params_shape), jnp.float32)
    psi = rng.normal(size=(2**num_qubits, BATCH))
    labels = rng.integers(0, max(2, case.num_values), BATCH)
    return subsets, angles, jnp.asarray(psi / np.linalg.norm(psi, axis=0), jnp.complex64), labels


def _loss(values: jax.Array, labels: np.ndarray) -> jax.Array:
    """Squared error of one value, cross-entropy of several."""
    if values.shape[1] == 1:
        return ((values[:, 0] - (1 - 2 * labels)) ** 2).mean()
    logits = jax.nn.log_softmax(10 * values)
    return -logits[np.arange(BATCH), labels].mean()


if __name__ == "__main__":
    run.main(__doc__, "noise", {name: partial(measure, name) for name in CASES})
