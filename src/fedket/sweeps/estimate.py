"""How long many runs will take: a round of each group of runs is timed, nothing is written."""

import os
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from time import perf_counter
from typing import NamedTuple

from fedket.errors import FedketError
from fedket.experiment.build import build_experiment
from fedket.experiment.config import ExperimentConfig
from fedket.keys.source_kinds import OsRandomConfig
from fedket.sweeps.complete import is_kept
from fedket.sweeps.pool import Task, default_jobs, program_of


class Estimate(NamedTuple):
    """What runs cost.

    Attributes:
        seconds: Of all that is not finished yet and could be timed.
        kept: Runs that are finished.
        programs: Groups of runs that share compiled programs.
        problem: Why some could not be timed; empty if all could.
    """

    seconds: float
    kept: int
    programs: int
    problem: str = ""


def estimate(tasks: Sequence[Task], jobs: int = 0) -> Estimate:
    """Time a round of one run of each group, on one core as runs have it.

    Key comes from this machine's generator, so that none is spent.

    Args:
        tasks: The runs.
        jobs: Runs at a time; 0 means `default_jobs`.
    """
    jobs = jobs or default_jobs()
    left: dict[Hashable, list[ExperimentConfig]] = {}
    groups = {program_of(task.config) for task in tasks}
    for config, directory in tasks:
        if not is_kept(config, directory):
            left.setdefault(program_of(config), []).append(config)
    kept, total, problem = len(tasks) - sum(map(len, left.values())), 0.0, ""
    for configs in left.values():
        try:
            with _on_one_core():
                first, each = _time_rounds(configs[0])
        except FedketError as error:
            problem = " ".join(str(error).split())
            continue
        total += first + each * sum(config.federation.rounds for config in configs)
    busy = max(1, min(jobs, sum(map(len, left.values()))))
    return Estimate(total / busy, kept, len(groups), problem)


def _time_rounds(config: ExperimentConfig) -> tuple[float, float]:
    """Seconds until the end of the first round, and of each other one."""
    start = perf_counter()
    experiment = build_experiment(config.model_copy(update={"keys": OsRandomConfig()}))
    if experiment.model.device is not None:
        raise FedketError(f"circuits run on {experiment.model.runs_on}")
    federation, evaluated = experiment.federation, config.federation.eval_every == 1
    state, _ = federation.run_round(federation.init(), evaluated)
    first, each = perf_counter() - start, inf
    for _ in range(2):
        start = perf_counter()
        state, _ = federation.run_round(state, evaluated)
        each = min(each, perf_counter() - start)
    return first, each


@contextmanager
def _on_one_core() -> Iterator[None]:
    """Keep this process to one core; JAX, if it is not in use yet, sees no other from then on."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
