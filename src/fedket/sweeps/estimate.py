"""How long many runs will take: some local steps of each kind are timed, nothing is written.

A long round is timed by a short one on fewer samples, and runs that differ in how many clients
train for how long, but in nothing else, by one of them: their steps are alike.
"""

from collections.abc import Hashable, Sequence
from math import ceil, inf
from time import perf_counter
from typing import NamedTuple

from fedket.cores import one_core
from fedket.data.source_kinds import StoredConfig
from fedket.errors import FedketError
from fedket.experiment.build import build_experiment
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.run_directory import deciding_values
from fedket.federated.federation import Federation, FederationState
from fedket.keys.source_kinds import OsRandomConfig
from fedket.sweeps.complete import is_kept
from fedket.sweeps.pool import Task, default_jobs, program_of

PROBED_STEPS = 48
"""Local steps, of all clients together, that are enough of a round to tell its length."""

SIZES = ("partition.num_clients", "training.epochs", "federation.clients_per_round",
         "federation.eval_every", "federation.rounds")  # fmt: skip
"""Values that say how many steps there are, not what a step takes."""


class Pace(NamedTuple):
    """What a kind of runs takes, in seconds.

    Attributes:
        first: Until the end of the first round that was timed: programs are compiled in it.
        step: A local step of a client, and what its round costs beside.
        evaluation: Of the global model.
        samples: For training, of all clients.
    """

    first: float
    step: float
    evaluation: float
    samples: int

    def seconds(self, config: ExperimentConfig) -> float:
        """Of a run's rounds."""
        every = config.federation.eval_every
        each = self.step * local_steps(config, self.samples) + self.evaluation / every
        return config.federation.rounds * each


def local_steps(config: ExperimentConfig, samples: int) -> int:
    """Steps of all clients in a round, if each has as many samples."""
    each = ceil(samples / config.num_clients / config.training.batch_size)
    return config.cohort_size * config.training.epochs * max(1, each)


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
    """Time some steps of one run of each kind, on one core as runs have it.

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
    paces: dict[Hashable, Pace] = {}
    problem = ""
    for places in left.values():
        configs = [tasks[place].config for place in places]
        kind = _but_sizes(configs[0])
        pace = paces.get(kind)
        if pace is None or local_steps(configs[0], pace.samples) <= PROBED_STEPS:
            try:
                with one_core():
                    pace = _time_steps(configs[0])
            except FedketError as error:
                problem = " ".join(str(error).split())
                for place in places:
                    each[place] = None
                continue
            paces[kind] = pace
        for place, config in zip(places, configs, strict=True):
            each[place] = pace.seconds(config)
        each[places[0]] = pace.seconds(configs[0]) + pace.first
    waiting = sum(map(len, left.values()))
    total = sum(filter(None, each))
    groups = len({program_of(task.config) for task in tasks})
    busy = max(1, min(jobs, waiting))
    return Estimate(total / busy, len(tasks) - waiting, groups, problem, tuple(each))


def _but_sizes(config: ExperimentConfig) -> Hashable:
    """What runs have in common whose local steps are alike."""
    values = deciding_values(config).items()
    return frozenset(
        (path, repr(value))
        for path, value in values
        if path not in (*SIZES, "name", "seed") and not isinstance(value, float)
    )


def _time_steps(config: ExperimentConfig) -> Pace:
    """Time a round, a short one if it is long."""
    start = perf_counter()
    config = config.model_copy(update={"keys": OsRandomConfig()})
    experiment = build_experiment(config)
    if experiment.model.device is not None:
        raise FedketError(f"circuits run on {experiment.model.runs_on}")
    samples = len(experiment.dataset.y_train)
    if local_steps(config, samples) > PROBED_STEPS:
        config = _shorter(config)
        experiment = build_experiment(config)
    steps = local_steps(config, len(experiment.dataset.y_train))
    federation = experiment.federation
    state, _ = federation.run_round(federation.init())
    first = perf_counter() - start
    trained, state = _time_rounds(federation, state, False)
    whole, _ = _time_rounds(federation, state, True)
    return Pace(first, trained / steps, max(0.0, whole - trained), samples)


def _time_rounds(
    federation: Federation, state: FederationState, evaluated: bool
) -> tuple[float, FederationState]:
    """The shorter of two rounds, and what comes after: no key serves a round twice."""
    shortest = inf
    for _ in range(2):
        start = perf_counter()
        state, _ = federation.run_round(state, evaluated)
        shortest = min(shortest, perf_counter() - start)
    return shortest, state


def _shorter(config: ExperimentConfig) -> ExperimentConfig:
    """The same with one epoch, and fewer samples for every client where its data can be cut."""
    batches = max(1, PROBED_STEPS // config.cohort_size)
    most = config.num_clients * batches * config.training.batch_size
    training = config.training.model_copy(update={"epochs": 1})
    data = config.data
    if isinstance(data, StoredConfig):
        kept = min(most, data.max_train or most)
        data = data.model_copy(update={"max_train": kept})
    return config.model_copy(update={"training": training, "data": data})
