"""Many clients: `python -m benchmarks.scale` trains 1,000 of 100,000 clients per round.

Each client holds ten samples of four features and trains Chen and Yoo's circuit for one epoch.
Prints seconds per round and the peak memory of the process for growing federations: memory grows
with the samples, which are held once, and not with the cohort beyond a chunk.
"""

import json
import resource
from statistics import median

import numpy as np
import optax

from fedket.data.partition import iid
from fedket.federated.federation import make_federation
from fedket.federated.local import LocalTraining
from fedket.federated.strategies import fed_avg
from fedket.models.vqc import vqc
from fedket.quantum import ansatz
from fedket.types import Dataset

SAMPLES_PER_CLIENT = 10
CASES = ((1_000, 100), (1_000, 1_000), (10_000, 1_000), (100_000, 1_000), (100_000, 10_000))


def main() -> None:
    """Print one JSON object per case, smallest first, since memory is the process's peak."""
    for num_clients, cohort in CASES:
        print(json.dumps(measure(num_clients, cohort)), flush=True)


def measure(num_clients: int, cohort: int, rounds: int = 5) -> dict[str, float]:
    """Run a few rounds and return the median time and the peak memory."""
    rng = np.random.default_rng(0)
    total = num_clients * SAMPLES_PER_CLIENT
    x = rng.standard_normal((total, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int32)
    federation = make_federation(
        vqc(ansatz.chen_yoo(), 2, encoding="arctan", readout="z"),
        Dataset("synthetic", x, y, x[:100], y[:100], 2),
        iid(total, num_clients=num_clients, rng=rng),
        fed_avg(),
        LocalTraining(optax.adam(0.01), epochs=1, batch_size=10),
        clients_per_round=cohort,
    )
    state, seconds = federation.init(), []
    for _ in range(rounds):
        state, record = federation.run_round(state, with_evaluation=False)
        seconds.append(record.seconds)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "clients": num_clients,
        "sampled": cohort,
        "round_s": round(median(seconds), 4),
        "peak_mib": round(peak_mib),
        "samples_mib": round((x.nbytes + y.nbytes) / 2**20),
    }


if __name__ == "__main__":
    main()
