"""What every peer's script does: build, check against the reference, time, print one line of JSON.

A script runs in the environment of its peer, in the root of the repository:

    .venv-torchquantum/bin/python -m benchmarks.peers.torchquantum WORKLOAD REPEATS

A peer that does not compute the reference's loss and slope is not timed: the script ends with an
error that says by how much it is off.
"""

import json
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.checks import check_gradient, check_round
from benchmarks.timing import median_ms, wall_ms
from benchmarks.workloads import Params, Round, Workload, load, load_round


class Gradient(NamedTuple):
    """A loss and its gradient in a peer's own words.

    `step` computes both, as one training step does, and returns the loss; `grads` turns the
    gradient of the last step into numpy and is not timed.
    """

    step: Callable[[], float]
    grads: Callable[[], Params]


class Peer(NamedTuple):
    """A peer: the packages whose versions are reported, and how it computes the workloads.

    `gradient` builds a workload; `client` builds the local training of a round, a function of
    angles (2, 4, 3), features (steps, batch, 4) and labels (steps, batch) that returns new angles.
    """

    packages: Sequence[str]
    gradient: Callable[[Workload], Gradient]
    client: Callable[[], Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]]


def main(peer: Peer) -> None:
    """Measure the workload named on the command line and print the result as JSON."""
    if len(sys.argv) != 3:
        raise SystemExit(f"usage: {sys.argv[0]} WORKLOAD REPEATS")
    workload, repeats = sys.argv[1], int(sys.argv[2])
    if workload.startswith("round-"):
        result = _time_round(peer, int(workload.removeprefix("round-")), repeats)
    else:
        result = _time_gradient(peer, load(workload), repeats)
    print(json.dumps(result | {"versions": {name: version(name) for name in peer.packages}}))


def _time_gradient(peer: Peer, workload: Workload, repeats: int) -> dict[str, float]:
    gradient = peer.gradient(workload)
    loss = gradient.step()
    check_gradient(workload, loss, gradient.grads())
    return _fastest(gradient.step, repeats) | {"loss": loss}


def _time_round(peer: Peer, num_clients: int, repeats: int) -> dict[str, float]:
    train = peer.client()

    def run(task: Round) -> np.ndarray:
        clients = zip(task.x, task.y, strict=True)
        return np.mean([train(task.angles, x, y) for x, y in clients], axis=0)

    loss = check_round(run)
    task = load_round(num_clients)
    return _fastest(lambda: run(task), repeats) | {"loss": loss}


def _fastest(call: Callable[[], object], repeats: int) -> dict[str, float]:
    """Time on one thread and on as many as PyTorch takes by default; return the better of the two.

    Small tensors gain little from a second thread, and lose a lot if another process holds its
    core, so a setting that starts out twice as slow is dropped at once.
    """
    default = torch.get_num_threads()
    torch.set_num_threads(1)
    best = {"ms": median_ms(call, repeats), "threads": 1}
    torch.set_num_threads(default)
    call()  # starts the threads
    if default > 1 and wall_ms(call) < 2 * best["ms"]:
        best = min(best, {"ms": median_ms(call, repeats), "threads": default}, key=_ms)
    return best


def _ms(timing: dict[str, float]) -> float:
    return timing["ms"]
