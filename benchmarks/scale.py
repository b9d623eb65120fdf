"""Many clients and many qubits: `python -m benchmarks.scale`.

`1000-of-1000000`: a round of 1,000 clients sampled from a million. Each client holds ten samples of
four features and trains Chen and Yoo's circuit for one epoch. Memory grows with the samples, which
are held once, and not with the cohort beyond a chunk.

`20-qubits`: loss and gradient of five layers of QFedFisher's circuit on 20 qubits, 200 angles,
batch of 4, single precision.

Times are in ms, memory is the peak of a process that does nothing else, in MiB.
"""

import resource
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import run
from benchmarks.fedket_side import round_after_round
from benchmarks.timing import median_ms, wall_ms
from fedket.allocator import keep_freed_memory
from fedket.data.partition import iid
from fedket.federated.federation import make_federation
from fedket.federated.local import LocalTraining
from fedket.federated.sharded import cores_engine, split_cpu
from fedket.federated.strategies import fed_avg
from fedket.models.vqc import vqc
from fedket.quantum import ansatz
from fedket.types import Dataset

SAMPLES_PER_CLIENT = 10
CASES = ((1_000, 100), (100_000, 1_000), (100_000, 10_000), (1_000_000, 1_000))
QUBITS, LAYERS, BATCH = 20, 5, 4


def measure_round(num_clients: int, cohort: int) -> dict[str, Any]:
    """Run rounds; `setup_s` is what comes before the first, `first_ms` compiles."""
    split_cpu()  # as the command line does
    rng = np.random.default_rng(0)
    total = num_clients * SAMPLES_PER_CLIENT
    x = rng.standard_normal((total, 4), np.float32)
    y = (x[:, 0] > 0).astype(np.int32)
    made: list[Any] = []
    setup_ms = wall_ms(
        lambda: made.append(
            make_federation(
                vqc(ansatz.chen_yoo(), 2, encoding="arctan", readout="z"),
                Dataset("synthetic", x, y, x[:100], y[:100], 2),
                iid(total, num_clients=num_clients, rng=rng),
                fed_avg(),
                LocalTraining(optax.adam(0.01), epochs=1, batch_size=10),
                clients_per_round=cohort,
                engine=cores_engine,
            )
        )
    )
    ms = median_ms(round_after_round(made[0]))
    samples_mib = round((x.nbytes + y.nbytes) / 2**20)
    return {"ms": ms, "setup_s": setup_ms / 1e3, **_peak(), "samples_mib": samples_mib}


def measure_qubits() -> dict[str, Any]:
    """Take the gradient of a large circuit."""
    model = vqc(ansatz.qfedfisher(QUBITS, LAYERS), 10, readout="z")
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.random((BATCH, 2**QUBITS)), jnp.float32)
    y = jnp.asarray(rng.integers(0, 10, BATCH), jnp.int32)

    def loss(params: jax.Array) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(model.apply(params, x), y).mean()

    step, params = jax.jit(jax.value_and_grad(loss)), model.init(jax.random.key(0))
    return {"ms": median_ms(lambda: jax.block_until_ready(step(params)), warm_up=1), **_peak()}


def _peak() -> dict[str, float]:
    """The largest resident memory of this process so far."""
    return {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


WORKLOADS = {
    **{
        f"{cohort}-of-{clients}": partial(measure_round, clients, cohort)
        for clients, cohort in CASES
    },
    f"{QUBITS}-qubits": measure_qubits,
}

if __name__ == "__main__":
    keep_freed_memory()  # as the command line does
    run.main(__doc__, "scale", WORKLOADS, "1000-of-1000000", f"{QUBITS}-qubits")
