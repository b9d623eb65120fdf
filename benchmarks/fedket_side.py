"""fedket's side: the same inputs through the public models, engine and federation.

`python -m benchmarks.fedket_side WORKLOAD ...` prints for each the median of a step or round in ms
and the time that compiling it takes in s, next to nothing where a cache of JAX's has it. A process
measures either steps or rounds: rounds see the cores as devices, as under `fedket run`.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.checks import CHECKED_CLIENTS, MismatchError, check_gradient
from benchmarks.timing import answer, median_ms, wall_ms
from benchmarks.workloads import (
    CNN_SHAPES,
    LEARNING_RATE,
    LOCAL_STEPS,
    MAP_WIDTHS,
    ROUNDS,
    Params,
    Round,
    Workload,
    load,
    load_round,
    reference_round,
    round_loss,
)
from fedket.allocator import keep_freed_memory
from fedket.cores import num_cores
from fedket.federated.federation import Federation, make_federation
from fedket.federated.local import LocalTraining
from fedket.federated.sharded import cores_engine, split_cpu
from fedket.federated.strategies import fed_avg
from fedket.models.network import plan_network
from fedket.models.quantum_train import quantum_train
from fedket.models.vqc import vqc
from fedket.quantum import ansatz
from fedket.quantum.native import engine_name
from fedket.quantum.noise import NoiseModel
from fedket.types import Dataset, Model

SHUFFLED_TOLERANCE = 1e-3
"""Of the loss after a round, which lowers it by 7e-3: fedket shuffles, the reference does not."""

SWEEP = """
name = "sweep"
data = { kind = "digits" }
partition = { kind = "iid", num_clients = 10 }
model = { kind = "vqc", num_qubits = 6, num_layers = 20 }
federation = { rounds = 100, eval_every = 20 }
paper = { source = "none", row = "sweep", seeds = [0, 1, 2, 3, 4, 5, 6, 7] }
"""


def measure(workload: str) -> dict[str, Any]:
    """Return the median in ms, the compile time in s, the reference's loss and the engine."""
    keep_freed_memory()  # as the command line does
    if workload == "sweep":
        return {"ms": _sweep_ms()}
    if workload in ROUNDS:
        split_cpu()
        kind, _, count = workload.rpartition("-")
        found = _measure_round(int(count)) if kind == "round" else _measure_steps_of_a(int(count))
    else:
        found = _measure_gradient(load(workload))
    return found | {"engine": engine_name()}


def _sweep_ms() -> float:
    """Wall time of one command: eight seeds of a small experiment, what they share included."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sweep.toml").write_text(SWEEP)
        command = (
            sys.executable,
            "-m",
            "fedket",
            "reproduce",
            folder,
            "--output",
            f"{folder}/runs",
            "--jobs",
            str(num_cores()),
        )
        return wall_ms(lambda: subprocess.run(command, check=True, capture_output=True))


def _measure_gradient(workload: Workload) -> dict[str, Any]:
    model, params, x = _SIDES[workload.name](workload)
    y = jnp.asarray(workload.y)

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        logits = model.apply(params, x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    compiled: list[Any] = []
    lowered = jax.jit(jax.value_and_grad(loss)).lower(params, x, y)
    compile_ms = wall_ms(lambda: compiled.append(lowered.compile()))
    value, grads = compiled[0](params, x, y)
    expected = check_gradient(workload, float(value), _in_reference_layout(workload, grads))
    ms = median_ms(lambda: jax.block_until_ready(compiled[0](params, x, y)))
    return {"ms": ms, "compile_s": compile_ms / 1e3, "loss": expected}


def _measure_round(num_clients: int) -> dict[str, Any]:
    expected = _check_round()
    one_round = round_after_round(round_federation(load_round(num_clients)))
    first_ms = wall_ms(one_round)
    ms = median_ms(one_round)
    return {"ms": ms, "compile_s": (first_ms - ms) / 1e3, "loss": expected}


STEPS_OF_ONE = 10


def _measure_steps_of_a(num_clients: int) -> dict[str, Any]:
    """A round of clients that take a step of a, all on the same batch; one client takes ten."""
    steps = STEPS_OF_ONE if num_clients == 1 else 1
    model, angles, x = _layers_side(load("a"))
    model, y = model._replace(init=lambda _rng: angles), load("a").y.astype(np.int32)
    dataset = Dataset("a", np.asarray(x), y, np.asarray(x[:1]), y[:1], 10)
    training = LocalTraining(optax.adam(LEARNING_RATE), epochs=steps, batch_size=len(y))
    partition = [np.arange(len(y))] * num_clients
    federation = make_federation(
        model, dataset, partition, fed_avg(), training, engine=cores_engine
    )
    return {"ms": median_ms(round_after_round(federation)) / steps}


def round_after_round(federation: Federation) -> Callable[[], None]:
    """Calls go on from the last one's state, as a run does."""
    state = federation.init()

    def one_round() -> None:
        nonlocal state
        state, _ = federation.run_round(state, with_evaluation=False)

    return one_round


def _check_round() -> float:
    task = load_round(CHECKED_CLIENTS)
    federation = round_federation(task)
    state, _ = federation.run_round(federation.init(), with_evaluation=False)
    found = round_loss(task, np.asarray(state.params).reshape(2, 4, 3))
    expected = round_loss(task, reference_round(task))
    if abs(found - expected) > SHUFFLED_TOLERANCE:
        raise MismatchError(f"loss after a round is {found:.5f}, the reference's is {expected:.5f}")
    return expected


def round_federation(task: Round, noise: NoiseModel | None = None) -> Any:
    """A federation whose clients hold the reference's samples and start from its angles."""
    samples = LOCAL_STEPS * 32
    x, y = task.x.reshape(-1, 4), task.y.reshape(-1).astype(np.int32)
    dataset = Dataset("round", x, y, x[:1], y[:1], 2)
    partition = np.split(np.arange(len(x)), np.arange(samples, len(x), samples))
    start = jnp.asarray(task.angles.reshape(2, 12))
    model = _chen_yoo(noise)._replace(init=lambda _rng: start)
    training = LocalTraining(optax.adam(LEARNING_RATE), epochs=1, batch_size=32)
    return make_federation(model, dataset, partition, fed_avg(), training, engine=cores_engine)


def _chen_yoo(noise: NoiseModel | None = None) -> Model:
    return vqc(ansatz.chen_yoo(), 2, encoding="arctan", readout="z", logit_scale=1.0, noise=noise)


def _layers_side(workload: Workload) -> tuple[Model, Any, jax.Array]:
    """Of a and c: (layers, qubits, RY and RX) become (layers, all RY then all RX)."""
    n = workload.num_qubits
    model = vqc(ansatz.qfedfisher(n, workload.num_layers), n, readout="z", logit_scale=10.0)
    angles = workload.params["angles"].transpose(0, 2, 1).reshape(workload.num_layers, 2 * n)
    return model, jnp.asarray(angles), jnp.asarray(workload.x)


def _quantum_train_side(workload: Workload) -> tuple[Model, Any, jax.Array]:
    p = workload.params
    layers = workload.num_layers
    angles = [jnp.asarray(p[name]).reshape(layers, -1) for name in ("u3", "cu3")]
    linear = {
        f"linear{i}": {"kernel": jnp.asarray(p[f"w{i}"]), "bias": jnp.asarray(p[f"b{i}"])}
        for i in range(len(MAP_WIDTHS) - 1)
    }
    params = {"angles": jnp.concatenate(angles, axis=1), "map": linear}
    shapes = [s for layer in plan_network().weighted for s in (layer.kernel, layer.bias)]
    if shapes != list(CNN_SHAPES.values()):
        raise MismatchError("the target network's layers are not the reference's")
    return quantum_train(), params, jnp.asarray(workload.x[:, 0])


def _vqc_side(workload: Workload) -> tuple[Model, Any, jax.Array]:
    angles = jnp.asarray(workload.params["angles"].reshape(2, 12))
    return _chen_yoo(), angles, jnp.asarray(workload.x)


def _in_reference_layout(workload: Workload, grads: Any) -> Params:
    """Undo what the functions above did to the parameters."""
    if workload.name in ("a", "c"):
        shape = (workload.num_layers, 2, workload.num_qubits)
        return {"angles": np.asarray(grads).reshape(shape).transpose(0, 2, 1)}
    if workload.name == "d":
        return {"angles": np.asarray(grads).reshape(2, 4, 3)}
    halves = np.split(np.asarray(grads["angles"]), 2, axis=1)
    shape = workload.params["u3"].shape
    layers = [(i, grads["map"][f"linear{i}"]) for i in range(len(MAP_WIDTHS) - 1)]
    return {
        "u3": halves[0].reshape(shape),
        "cu3": halves[1].reshape(shape),
        **{f"w{i}": np.asarray(layer["kernel"]) for i, layer in layers},
        **{f"b{i}": np.asarray(layer["bias"]) for i, layer in layers},
    }


_SIDES: dict[str, Callable[[Workload], tuple[Model, Any, jax.Array]]] = {
    "a": _layers_side,
    "b": _quantum_train_side,
    "c": _layers_side,
    "d": _vqc_side,
}


if __name__ == "__main__":
    answer(measure, sys.argv[1:])
