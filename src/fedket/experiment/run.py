"""Run an experiment into a directory: start, continue, interrupt, finish."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from shlex import quote
from time import perf_counter
from typing import Any, Literal, NamedTuple

from fedket.errors import BudgetSpentError, CheckpointError, TrainingError
from fedket.experiment import run_directory as disk
from fedket.experiment.build import Experiment, build_experiment, open_keys, precision
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.environment import write_environment
from fedket.experiment.facts import count_facts, promise_of
from fedket.experiment.interrupts import Interrupts, handled_interrupts
from fedket.experiment.lead import Lead, alone
from fedket.experiment.privacy import Spending
from fedket.experiment.stopping import best_round, stops
from fedket.experiment.tracking import follow
from fedket.facts import Facts
from fedket.federated.checkpoint import (
    load_checkpoint,
    params_sha256,
    save_checkpoint,
    save_params,
)
from fedket.federated.federation import FederationState
from fedket.record import RoundRecord, Summary, summarise
from fedket.record_files import FACTS, SUMMARY, append_round, rewrite_rounds, write_json
from fedket.track.sink import Follower
from fedket.types import KeySource, Params

OnStart = Callable[[Path], None]
OnRound = Callable[[RoundRecord], None]
Build = Callable[[ExperimentConfig], tuple[Experiment, Facts]]
"""An experiment with its facts, where it is not all in this process: see `fedket.deploy`."""


LOST_IN_A_ROW = 3
"""After this many lost rounds the cause will not go away by itself, and each costs key."""


def _ignore(_: Any) -> None:
    """Tell nobody."""


class RunOutcome(NamedTuple):
    """Where a run lies and how it ended, and how many rounds were run now."""

    directory: Path
    summary: Summary
    new_rounds: int


class Job(NamedTuple):
    """An experiment, the directory it runs in, and the hash that ties its checkpoint to it.

    `lead` keeps the other processes of the run in step.
    """

    experiment: Experiment
    directory: Path
    digest: str
    lead: Lead
    spending: Spending | None


def start_run(
    config: ExperimentConfig,
    on_round: OnRound = _ignore,
    *,
    on_start: OnStart = _ignore,
    parent: Path = Path("runs"),
    output: Path | None = None,
    lead: Lead | None = None,
    build: Build | None = None,
    callbacks: Sequence[OnRound] = (),
) -> RunOutcome:
    """Run an experiment in a new directory.

    Args:
        config: What to run.
        on_round: Called with every round's record once it is on disk.
        on_start: Called with the run directory once all is checked and the first round begins.
        parent: Where new run directories go.
        output: This very directory instead; must not exist or be empty.
        lead: Tells the other processes of the run, if there are any; this is process 0 then.
        build: Makes the experiment and sees to its keys itself; None simulates it here.
        callbacks: Called as `on_round`, after it.

    Raises:
        FedketError: Before anything is written, if the configuration does not work out.
        TrainingError: `LOST_IN_A_ROW` rounds were lost; all rounds are saved.
        KeyboardInterrupt: Before anything is written.
    """
    lead = lead or alone()
    with handled_interrupts() as interrupts, precision(config), ExitStack() as stack:
        if output is not None:
            disk.check_output(output)
        keys = None if build else stack.enter_context(open_keys(config))
        make = build or partial(_build, keys=keys, lead=lead)
        experiment, facts = interrupts.run(partial(make, config))
        interrupts.run(lead.meet)
        directory = disk.new_run_directory(config, parent, output)
        job = _job(experiment, directory, lead)
        with disk.held(directory):
            with disk.emptied_on_failure(directory):
                state = experiment.federation.init()
                save_checkpoint(directory / disk.CHECKPOINT, state, job.digest)
                rewrite_rounds(directory, [])
                write_json(directory / FACTS, facts)
                write_environment(directory)
                disk.write_config(directory, config)
                follower = follow(config, directory, 0)
            on_start(directory)
            return _continue(job, state, [], (on_round, *callbacks), follower, interrupts)


def resume_run(
    directory: Path,
    on_round: OnRound = _ignore,
    *,
    on_start: OnStart = _ignore,
    config: ExperimentConfig | None = None,
    lead: Lead | None = None,
    build: Build | None = None,
    callbacks: Sequence[OnRound] = (),
) -> RunOutcome:
    """Continue a run from its checkpoint; the result equals an uninterrupted run bit for bit.

    Args:
        directory: The run.
        on_round: As in `start_run`.
        on_start: As in `start_run`.
        config: Must agree with the run's own but for `run_directory.FREE`; None takes its own.
        lead: As in `start_run`.
        build: As in `start_run`.
        callbacks: As in `start_run`.

    Raises:
        CheckpointError: If the directory is damaged or belongs to another configuration; nothing
            has been changed then.
        KeyboardInterrupt: Before anything is changed.
    """
    lead = lead or alone()
    own = disk.read_config(directory)
    config = config or own
    disk.check_same_experiment(directory, own, config)
    with (
        handled_interrupts() as interrupts,
        precision(config),
        disk.held(directory),
        ExitStack() as stack,
    ):
        keys = None if build else stack.enter_context(open_keys(config))
        make = build or partial(_build, keys=keys, lead=lead)
        experiment, facts = interrupts.run(partial(make, config))
        interrupts.run(lead.meet)
        disk.check_same_facts(directory, facts)
        job = _job(experiment, directory, lead)
        state, records = _load(job)
        write_json(directory / FACTS, facts)
        write_environment(directory)
        disk.write_config(directory, config)
        rewrite_rounds(directory, records)
        follower = follow(config, directory, state.round_num)
        on_start(directory)
        return _continue(job, state, records, (on_round, *callbacks), follower, interrupts)


def _build(
    config: ExperimentConfig, keys: KeySource | None, lead: Lead
) -> tuple[Experiment, Facts]:
    experiment = build_experiment(config, keys, led=lead.reducer)
    return experiment, count_facts(experiment)


def _job(experiment: Experiment, directory: Path, lead: Lead) -> Job:
    promise = promise_of(experiment)
    spending = promise.spending(directory) if promise else None
    return Job(experiment, directory, disk.config_hash(experiment.config), lead, spending)


def _load(job: Job) -> tuple[FederationState, list[RoundRecord]]:
    """The last saved state, and the records of its rounds."""
    template = job.experiment.federation.init()
    state = load_checkpoint(job.directory / disk.CHECKPOINT, template, job.digest)
    rounds = job.experiment.config.federation.rounds
    if state.round_num > rounds:
        raise CheckpointError(
            f"{job.directory} has {state.round_num} rounds, `federation.rounds` is {rounds}; "
            f"ask for {state.round_num} or more"
        )
    return state, disk.read_checkpointed_rounds(job.directory, state.round_num)


def _continue(
    job: Job,
    state: FederationState,
    records: list[RoundRecord],
    callbacks: Sequence[OnRound],
    follower: Follower,
    interrupts: Interrupts,
) -> RunOutcome:
    """Run the remaining rounds; on Ctrl-C keep the last finished one and say so."""
    config, directory, lead = job.experiment.config, job.directory, job.lead
    start, before = perf_counter(), sum(record.seconds for record in records)
    first, saved, lost = state.round_num, state.round_num, 0
    status: Literal["finished", "interrupted"] = "finished"
    stopped: BudgetSpentError | None = None
    plan, best = config.federation, None
    metric = plan.best_by or "loss"
    try:
        interrupts.run(partial(lead.begin, state))
        while state.round_num < plan.rounds and not stops(records, metric, plan.early_stopping):
            evaluated, due = _plan(config, state.round_num + 1)
            if job.spending is not None:
                job.spending.begin(state.round_num + 1)
            run_round = job.experiment.federation.run_round
            after, record = interrupts.run(partial(lead.in_step, run_round, state, evaluated))
            if job.spending is not None:
                record = record.model_copy(update={"epsilon": job.spending.epsilon()})
            with _saving(directory):
                append_round(directory, record)
                state = after
                records.append(record)
                if best_round(records, metric) == record.round:
                    best = state.params
                if due:
                    _save(job, state, best)
                    saved, best = state.round_num, None
            for tell in (follower.on_round, *callbacks):
                tell(record)
            lost = lost + 1 if record.lost else 0
            if lost == LOST_IN_A_ROW:
                raise _given_up(directory, record)
        interrupts.run(partial(lead.finish, state.params))
    except KeyboardInterrupt:
        status = "interrupted"
    except BudgetSpentError as error:
        status, stopped = "interrupted", error
    except BaseException:
        follower.finish("failed")
        raise
    finally:
        if saved < state.round_num:
            _save(job, state, best)
    seconds = before + perf_counter() - start
    sha256, why = params_sha256(state.params), stops(records, metric, plan.early_stopping)
    why = why if state.round_num < plan.rounds else ""
    summary = summarise(records, status, seconds, sha256, best_round(records, metric), why)
    with _saving(directory):
        save_params(directory / disk.MODEL, state.params)
        if (average := job.experiment.strategy.average) is not None:
            save_params(directory / disk.AVERAGED, average(state.server))
        write_json(directory / SUMMARY, summary)
    follower.finish(status)
    if stopped is not None:
        raise stopped
    return RunOutcome(directory, summary, state.round_num - first)


def _given_up(directory: Path, last: RoundRecord) -> TrainingError:
    return TrainingError(
        f"{LOST_IN_A_ROW} rounds in a row were lost, the last because: {last.lost}; see to the "
        f"cause, then resume {quote(str(directory))}, in which all rounds are saved"
    )


def _plan(config: ExperimentConfig, round_num: int) -> tuple[bool, bool]:
    """Whether a round is evaluated, and whether it is saved."""
    plan = config.federation
    last = round_num == plan.rounds
    return round_num % plan.eval_every == 0 or last, round_num % plan.checkpoint_every == 0 or last


def _save(job: Job, state: FederationState, best: Params | None) -> None:
    """Save a state, after the best model if there is a new one."""
    with _saving(job.directory):
        if best is not None:
            save_params(job.directory / disk.BEST, best)
        save_checkpoint(job.directory / disk.CHECKPOINT, state, job.digest)


@contextmanager
def _saving(directory: Path) -> Iterator[None]:
    """Say how to continue when the disk is full: what was saved before is intact."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"cannot save: {error.strerror}: {error.filename}; what was saved before is intact, "
            f"make room and continue with: fedket run --resume {quote(str(directory))}"
        ) from error
