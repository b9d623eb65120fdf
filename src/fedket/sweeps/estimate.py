"""How long a sweep will take: one round of each group of runs is timed, nothing is written."""

import os
from collections.abc import Hashable, Sequence
from math import inf
from time import perf_counter
from typing import NamedTuple

from fedket.errors import FedketError
from fedket.experiment.build import build_experiment
from fedket.experiment.config import ExperimentConfig
from fedket.keys.source_kinds import OsRandomConfig
from fedket.sweeps.complete import is_kept
from fedket.sweeps.plan import SweepRun
from fedket.sweeps.pool import program_of


class Estimate(NamedTuple):
    """What a sweep costs.

    Attributes:
        seconds: Of all that is not finished yet; None if a round could not be timed.
        kept: Runs that are finished.
        programs: Groups of runs that share compiled programs.
        problem: Why a round could not be timed; empty if all could.
    """

    seconds: float | None
    kept: int
    programs: int
    problem: str = ""


def estimate(runs: Sequence[SweepRun], jobs: int) -> Estimate:
    """Time a round of one run of each group, on one core as runs have it.

    Key comes from this machine's generator, so that none is spent. From then on the process keeps
    to that core.

    Args:
        runs: Of a sweep.
        jobs: Runs at a time.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    left: dict[Hashable, list[ExperimentConfig]] = {}
    groups = {program_of(run.config) for run in runs}
    for run in runs:
        if not is_kept(run.config, run.directory):
            left.setdefault(program_of(run.config), []).append(run.config)
    kept, total = len(runs) - sum(map(len, left.values())), 0.0
    for configs in left.values():
        try:
            first, each = _time_rounds(configs[0])
        except FedketError as error:
            return Estimate(None, kept, len(groups), " ".join(str(error).split()))
        total += first + each * sum(config.federation.rounds for config in configs)
    busy = max(1, min(jobs, sum(map(len, left.values()))))
    return Estimate(total / busy, kept, len(groups))


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
