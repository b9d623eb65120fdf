"""Who trains when in asynchronous rounds: an event queue over simulated clients, without training.

A number of clients train at the same time. One that is done waits in the buffer and makes room for
another, who starts from the model of that moment; a full buffer is a round. All of it follows from
the seed and the clients' conditions, which are looked at anew whenever clients are asked.
"""

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import islice
from typing import NamedTuple

import numpy as np

from fedket.errors import TrainingError
from fedket.federated.cohort import sample_cohort
from fedket.federated.conditions import SimulatedClients, absent_in_round

PATIENCE = 1000
"""Draws in a row in which nobody is there, after which nobody will be."""


class Update(NamedTuple):
    """A round: a buffer that is full.

    Attributes:
        members: Clients in it, ascending.
        slots: The places at which they trained.
        versions: Rounds that had ended when they began: the model they began from.
        training: Place -> the same of clients that go on training.
        dropped: Clients that were to be in it, or a later one -> why they are not.
        seconds: Simulated time since the round before.
    """

    members: np.ndarray
    slots: np.ndarray
    versions: np.ndarray
    training: dict[int, int]
    dropped: dict[int, str]
    seconds: float


class _Task(NamedTuple):
    """A client in training, or waiting in the buffer; ordered by when it is done."""

    done_s: float
    client: int
    slot: int
    version: int
    lost: str


def make_schedule(
    clients: SimulatedClients, seed: int, num_clients: int, in_training: int, buffer: int
) -> Callable[[int], Update]:
    """Return round, from 1 -> what it is made of.

    Args:
        clients: How long they take, who is there, who drops out.
        seed: Of the experiment.
        num_clients: Clients in all.
        in_training: Clients that train at the same time, at most.
        buffer: Updates of a round.
    """
    coming = _updates(clients, seed, num_clients, in_training, buffer)
    known: list[Update] = []

    def update(round_num: int) -> Update:
        known.extend(islice(coming, max(0, round_num - len(known))))
        return known[round_num - 1]

    return update


def _updates(
    clients: SimulatedClients, seed: int, num_clients: int, in_training: int, buffer: int
) -> Iterator[Update]:
    """Go through the events: those who are done at a moment come before those who begin at it."""
    queue: list[_Task] = []
    waiting: list[_Task] = []
    free = list(range(in_training))
    dropped: dict[int, str] = {}
    now = before = 0.0
    version = draw = empty = 0
    while True:
        if not queue or queue[0].done_s > now:
            draw += 1
            busy = [task.client for task in (*queue, *waiting)]
            begun = _begin(clients, seed, draw, num_clients, busy, free, now, version)
            for task in begun:
                heappush(queue, task)
            del free[: len(begun)]
        if not queue:
            empty += 1
            if empty == PATIENCE:
                raise TrainingError(f"round {version + 1}: nobody is there in {PATIENCE} draws")
            continue
        empty, task = 0, heappop(queue)
        now = task.done_s
        free.append(task.slot)
        if task.lost:
            dropped[task.client] = task.lost
            continue
        waiting.append(task)
        if len(waiting) < buffer:
            continue
        waiting.sort(key=lambda task: task.client)
        members, slots, versions = (
            np.array([task[column] for task in waiting], np.int32) for column in (1, 2, 3)
        )
        left_out = {i: why for i, why in dropped.items() if i not in members}
        training = {task.slot: task.version for task in queue}
        yield Update(members, slots, versions, training, left_out, now - before)
        waiting, dropped, before, version = [], {}, now, version + 1


def _begin(
    clients: SimulatedClients,
    seed: int,
    draw: int,
    num_clients: int,
    busy: list[int],
    free: list[int],
    now: float,
    version: int,
) -> list[_Task]:
    """Clients that begin: as a synchronous round's cohort, but of those with nothing to do."""
    idle = np.setdiff1d(np.arange(num_clients, dtype=np.int32), busy)
    state = clients.of_round(draw)
    idle = idle[state.there[idle]]
    wanted = min(len(free), len(idle))
    if not wanted:
        return []
    chosen = idle[sample_cohort(seed, draw, len(idle), wanted)]
    lost = absent_in_round(clients, chosen, draw)
    end = np.minimum(state.seconds, clients.deadline_s)
    return [
        _Task(now + float(end[i]), i, slot, version, lost.get(i, ""))
        for i, slot in zip(chosen.tolist(), free, strict=False)
    ]
