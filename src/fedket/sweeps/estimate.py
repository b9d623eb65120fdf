"""How long many runs will take: a round of each group of runs is timed, nothing is written."""

from collections.abc import Hashable, Sequence
from math import inf
from time import perf_counter
from typing import NamedTuple

from fedket.cores import one_core
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
        each: Seconds of each run on its core: 0 of a finished one, None of one not timed.
    """

    seconds: float
    kept: int
    programs: int
    problem: str = ""
    each: tuple[float | None, ...] = ()


def estimate(tasks: Sequence[Task], jobs: int = 0) -> Estimate:
    """Time a round of one run of each group, on one core as runs have it.

    Key comes from this machine's generator, so that none is spent.

    Args:
        tasks: The runs.
        jobs: Runs at a time; 0 means `default_jobs`.
    """
    jobs = jobs or default_jobs()
    left: dict[Hashable, list[int]] = {}
    for place, (config, directory) in enumerate(tasks):
        if not is_kept(config, directory):
            left.setdefault(program_of(config), []).append(place)
    each: list[float | None] = [0.0] * len(tasks)
    problem = ""
    for places in left.values():
        configs = [tasks[place].config for place in places]
        try:
            with one_core():
                first, pace = _time_rounds(configs[0])
        except FedketError as error:
            problem = " ".join(str(error).split())
            for place in places:
                each[place] = None
            continue
        for place, config in zip(places, configs, strict=True):
            each[place] = pace * config.federation.rounds
        each[places[0]] = first + pace * configs[0].federation.rounds
    waiting = sum(map(len, left.values()))
    total = sum(filter(None, each))
    groups = len({program_of(task.config) for task in tasks})
    busy = max(1, min(jobs, waiting))
    return Estimate(total / busy, len(tasks) - waiting, groups, problem, tuple(each))


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
