"""What every peer's script does: build, check against the reference, time, print lines of JSON.

A script runs in the environment of its peer, in the root of the repository:

    .venv-torchquantum/bin/python -m benchmarks.peers.torchquantum WORKLOAD ...

A peer that does not compute the reference's loss and slope is not timed: there is a note that says
by how much it is off.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.checks import check_gradient, check_round
from benchmarks.timing import answer, median_ms, wall_ms
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
    `threaded` says that PyTorch's threads may help.
    """

    packages: Sequence[str]
    gradient: Callable[[Workload], Gradient]
    client: Callable[[], Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]]
    threaded: bool = True


def main(peer: Peer) -> None:
    """Measure the workloads named on the command line."""
    answer(partial(_measure, peer), sys.argv[1:])


def _measure(peer: Peer, workload: str) -> dict[str, Any]:
    is_round = workload.startswith("round-")
    found = _time_round(peer, workload) if is_round else _time_gradient(peer, load(workload))
    return found | {"versions": {name: version(name) for name in peer.packages}}


def _time_gradient(peer: Peer, workload: Workload) -> dict[str, Any]:
    gradient = peer.gradient(workload)
    loss = gradient.step()
    check_gradient(workload, loss, gradient.grads())
    threads = _best_threads(peer, gradient.step)
    return {"ms": median_ms(gradient.step, warm_up=0), "threads": threads, "loss": loss}


def _time_round(peer: Peer, workload: str) -> dict[str, Any]:
    train = peer.client()

    def run(task: Round) -> np.ndarray:
        clients = zip(task.x, task.y, strict=True)
        return np.mean([train(task.angles, x, y) for x, y in clients], axis=0)

    loss = check_round(run)
    one, task = load_round(1), load_round(int(workload.removeprefix("round-")))
    threads = _best_threads(peer, lambda: run(one))
    return {"ms": median_ms(lambda: run(task), warm_up=0), "threads": threads, "loss": loss}


def _best_threads(peer: Peer, call: Callable[[], object]) -> int:
    """Let PyTorch use one thread or as many as it does by default, whatever is faster.

    Small tensors gain little from a second thread, and lose a lot if another process holds its
    core.
    """
    default = torch.get_num_threads() if peer.threaded else 1
    torch.set_num_threads(1)
    if default == 1:
        return 1
    times: dict[int, float] = {}
    for threads in (1, default):
        torch.set_num_threads(threads)
        times[threads] = min(wall_ms(call), wall_ms(call))  # the first starts them
    best = min(times, key=times.__getitem__)
    torch.set_num_threads(best)
    return best
