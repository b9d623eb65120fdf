"""Noise beside the noiseless engine: `python -m benchmarks.noise`.

Loss and gradient, interleaved in one process, so that ratios hold on a busy machine: the noiseless
engine, a noise model that does nothing, depolarising noise after every gate, the same with thermal
relaxation, and where these end in minutes PennyLane's default.mixed and Qiskit Aer's density
matrices with the parameter-shift rule (`noise_peers`). The batch is 32, on 13 qubits one state.
Times in ms are lower quartiles, ratios are to the noiseless engine, `exact_compile_s` is the first
call. Beyond 8 qubits: one Pauli trajectory of each state, and several, beside the noiseless engine
on as many columns; and exact values of 2,000 states on 10. `round`: 20 clients that take 4 steps
each on 4 qubits.
"""

import time
from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import noise_peers, run
from benchmarks.fedket_side import round_after_round, round_federation
from benchmarks.noise_peers import BATCH
from benchmarks.timing import wall_ms
from benchmarks.workloads import load_round
from fedket.allocator import keep_freed_memory
from fedket.federated.sharded import split_cpu
from fedket.quantum import ansatz, noise
from fedket.quantum.circuit import Circuit
from fedket.quantum.engine import run_circuit
from fedket.quantum.measurement import Measurement, expected_values
from fedket.quantum.native import engine_name
from fedket.quantum.noise.model import MAX_EXACT_QUBITS, MAX_HEISENBERG_QUBITS
from fedket.quantum.readout import expval_parity

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
    """What is measured.

    Attributes:
        circuit: The circuit.
        num_values: Observables.
        target: The largest ratio it should have (spec, section 7).
        batch: States that enter.
        trajectories: Of each state, beside a single one, beyond 8 qubits.
    """

    circuit: Circuit
    num_values: int
    target: float
    batch: int = BATCH
    trajectories: int = 8


CASES = {
    "4x2": Case(ansatz.chen_yoo(4, 2), 2, 1.6),
    "6x4": Case(ansatz.qunetqfl(6, 4), 1, 2.2),
    "6x20": Case(ansatz.qfedfisher(6, 20), 10, 12.0),
    "8x20": Case(ansatz.qfedfisher(8, 20), 10, 60.0),
    "10x60": Case(ansatz.qfedfisher(10, 60), 10, 1.2),
    "13x16": Case(ansatz.quantum_train(13, 16), 10, 1.15, batch=1, trajectories=16),
}


PENNYLANE = ("4x2", "6x4")
"""Cases that PennyLane is timed on: the second takes it minutes."""

PENNYLANE_JIT = ("4x2",)
"""Cases on which it is compiled by JAX, too."""

AER = ("6x4",)
"""Cases that Qiskit Aer's density matrices are timed on."""

TEST_STATES = 2000
"""Of which exact values are timed beyond the qubits that are trained exactly."""

SECONDS = 1.5
"""Time for each case in a process."""

ROUND_TARGET = 2.0
NUM_CLIENTS = 20


def measure(name: str) -> dict[str, Any]:
    """Times of the noiseless engine and of noise, in turns."""
    case = CASES[name]
    if case.circuit.num_qubits > MAX_EXACT_QUBITS:
        found = _measure_trajectories(case)
        if case.circuit.num_qubits <= MAX_HEISENBERG_QUBITS:
            found["exact_values_s"] = _exact_values_s(case)
        return found | {"engine": engine_name()}
    found = _measure(case)
    task = noise_peers.Task(case.circuit, *_inputs(case), P, LAMBDA)
    if name in PENNYLANE:
        found |= _beside("pennylane_mixed", noise_peers.pennylane_ms(task), found)
    if name in PENNYLANE_JIT:
        found |= _beside("pennylane_mixed_jit", noise_peers.pennylane_jit_ms(task), found)
    if name in AER:
        found |= _beside("aer_parameter_shift", noise_peers.aer_ms(task), found)
    return found | {"engine": engine_name()}


def measure_round() -> dict[str, Any]:
    """A federated round without noise, with a model that does nothing, and under noise."""
    split_cpu()
    models = {"plain": None, "off": noise.NoiseModel(), "exact": DEPOLARISING}
    rounds = {}
    for name, model in models.items():
        rounds[name] = round_after_round(round_federation(load_round(NUM_CLIENTS), model))
    ms, _ = _timed(rounds)
    return _with_ratios(ms) | {"target_ratio": ROUND_TARGET, "engine": engine_name()}


def _with_ratios(ms: dict[str, float]) -> dict[str, Any]:
    """Times in ms, and of what stands beside the noiseless engine as multiples of that."""
    times = {f"{name}_ms": time for name, time in ms.items()}
    beside = [name for name in ("off", "exact", "thermal") if name in ms]
    return times | {f"{name}_ratio": ms[name] / ms["plain"] for name in beside}


def _beside(peer: str, ms: float, found: dict[str, Any]) -> dict[str, Any]:
    """A peer's loss and gradient, in ms and as a multiple of exact noise's."""
    return {f"{peer}_ms": ms, f"{peer}_to_exact": ms / found["exact_ms"]}


def _measure(case: Case) -> dict[str, Any]:
    subsets, angles, psi, labels = _inputs(case)

    def plain(params: jax.Array) -> jax.Array:
        return _loss(expval_parity(run_circuit(case.circuit, params, psi), subsets), labels)

    def under(model: noise.NoiseModel) -> Callable[[jax.Array], jax.Array]:
        def loss(params: jax.Array) -> jax.Array:
            measured = Measurement(case.circuit, model, subsets)
            return _loss(expected_values(measured, params, psi), labels)

        return loss

    losses = {"plain": plain, "exact": under(DEPOLARISING), "thermal": under(THERMAL)}
    losses["off"] = under(noise.NoiseModel())
    ms, first = _timed(_steps(losses, angles))
    return {
        **_with_ratios(ms),
        "thermal_to_exact": ms["thermal"] / ms["exact"],
        "target_ratio": case.target,
        "exact_compile_s": first["exact"] / 1e3,
    }


def _measure_trajectories(case: Case) -> dict[str, Any]:
    """One trajectory of each state, and several, beside the noiseless engine on as many columns."""
    subsets, angles, psi, labels = _inputs(case)

    def mean(values: jax.Array, count: int) -> jax.Array:
        return _loss(values.reshape(case.batch, count, -1).mean(axis=1), labels)

    def plain(count: int, params: jax.Array) -> jax.Array:
        final = run_circuit(case.circuit, params, jnp.repeat(psi, count, axis=1))
        return mean(expval_parity(final, subsets), count)

    def drawn(count: int, params: jax.Array) -> jax.Array:
        rng = jax.random.key(1)
        values = noise.trajectory_parity(
            case.circuit, DEPOLARISING, params, psi, subsets, rng, count
        )
        return _loss(values, labels)

    several = case.trajectories
    losses = {"plain": partial(plain, 1), "one": partial(drawn, 1)}
    losses |= {"plain_columns": partial(plain, several), "several": partial(drawn, several)}
    ms, _ = _timed(_steps(losses, angles))
    return {
        **_with_ratios(ms),
        "trajectory_ratio": ms["one"] / ms["plain"],
        "trajectories_ratio": ms["several"] / ms["plain_columns"],
        "trajectories": several,
        "target_ratio": case.target,
    }


def _exact_values_s(case: Case) -> float:
    """Exact values of a test set, no gradient."""
    subsets, angles, psi, _ = _inputs(case._replace(batch=TEST_STATES))
    read = jax.jit(partial(noise.expval_parity, case.circuit, DEPOLARISING, subsets=subsets))
    jax.block_until_ready(read(angles, psi))
    return wall_ms(lambda: jax.block_until_ready(read(angles, psi))) / 1e3


def _steps(
    losses: dict[str, Callable[[jax.Array], jax.Array]], angles: jax.Array
) -> dict[str, Callable[[], object]]:
    """Calls that wait for a loss and its gradient."""
    steps = {name: jax.jit(jax.value_and_grad(loss)) for name, loss in losses.items()}
    return {
        name: lambda step=step: jax.block_until_ready(step(angles)) for name, step in steps.items()
    }


def _timed(calls: dict[str, Callable[[], object]]) -> tuple[dict[str, float], dict[str, float]]:
    """Lower quartiles of calls that take turns, and the first calls, in ms."""
    first = {name: wall_ms(call) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times["plain"]) < 5:
        for name, call in calls.items():
            call()  # or it would pay for what its predecessor left in the caches
            times[name].append(wall_ms(call))
    return {name: float(np.quantile(found, 0.25)) for name, found in times.items()}, first


def _inputs(case: Case) -> tuple[tuple[tuple[int, ...], ...], jax.Array, jax.Array, np.ndarray]:
    """Observables, angles, states and labels."""
    num_qubits, rng = case.circuit.num_qubits, np.random.default_rng(0)
    pairs = sorted(combinations(range(num_qubits), 2), key=lambda pair: pair[1] - pair[0])
    subsets = (*((q,) for q in range(num_qubits)), *pairs)[: case.num_values]
    angles = jnp.asarray(0.5 * rng.normal(size=case.circuit.params_shape), jnp.float32)
    psi = rng.normal(size=(2**num_qubits, case.batch))
    labels = rng.integers(0, max(2, case.num_values), case.batch)
    return subsets, angles, jnp.asarray(psi / np.linalg.norm(psi, axis=0), jnp.complex64), labels


def _loss(values: jax.Array, labels: np.ndarray) -> jax.Array:
    """Squared error of one value, cross-entropy of several."""
    if values.shape[1] == 1:
        return ((values[:, 0] - (1 - 2 * labels)) ** 2).mean()
    logits = jax.nn.log_softmax(10 * values)
    return -logits[np.arange(len(labels)), labels].mean()


if __name__ == "__main__":
    keep_freed_memory()  # as the command line does
    workloads = {name: partial(measure, name) for name in CASES}
    run.main(__doc__, "noise", workloads | {"round": measure_round})
