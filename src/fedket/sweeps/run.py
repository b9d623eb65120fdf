"""A sweep: every combination of some settings, each for several seeds, in one directory.

All runs are ordinary run directories. Finished ones are kept and interrupted ones resumed, so
asking for the same sweep again, or for more of it, does what is missing.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedket.errors import CheckpointError
from fedket.experiment import run_directory as disk
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.interrupts import handled_interrupts
from fedket.experiment.load import folder_of, load_config
from fedket.experiment.rows import split_row
from fedket.experiment.shipped import find_experiment
from fedket.record import FORMAT, Content, Count, RoundRecord
from fedket.record_files import write_json
from fedket.report.sweep_runs import STATE
from fedket.sweeps.complete import Ended
from fedket.sweeps.plan import SweepRun, plan
from fedket.sweeps.pool import Task, run_side_by_side
from fedket.sweeps.table import (
    State,
    SweepTable,
    check_parquet,
    make_table,
    status_of,
    write_tables,
)

OnRound = Callable[[SweepRun, RoundRecord], None]
OnEnd = Callable[[SweepRun, Ended], None]


class RunState(Content):
    """One run in `sweep.json`; `directory` is relative to it."""

    directory: str
    settings: Mapping[str, Any]
    seed: Count
    status: State
    problem: str = ""


class SweepState(Content):
    """`sweep.json`: what a sweep consists of, and how far it is."""

    format: int
    name: str
    grid: Mapping[str, tuple[Any, ...]]
    seeds: tuple[Count, ...]
    runs: tuple[RunState, ...]


def sweep(
    experiment: ExperimentConfig | Path | str,
    grid: Mapping[str, Sequence[Any]] | None = None,
    seeds: int | Sequence[int] | None = None,
    *,
    jobs: int = 0,
    output: Path | str | None = None,
    parquet: bool = False,
    on_round: OnRound = lambda _run, _record: None,
    on_end: OnEnd = lambda _run, _ended: None,
) -> SweepTable:
    """Run an experiment for every combination of some settings, each for several seeds.

    Args:
        experiment: A configuration, an experiment file, or the name of a shipped experiment.
        grid: `TABLE.KEY` -> values, instead of those of its `[sweep.grid]`.
        seeds: How many, from the experiment's own on, or which; None takes those of `[sweep]`.
        jobs: Runs at a time, each in a process that is pinned to a core; 0 means one per core, or
            one where JAX has a GPU.
        output: The sweep's directory; None means `runs/NAME-sweep`. Runs that it holds are kept
            if they are finished, else continued.
        parquet: Whether tables are written as Parquet files, too; needs pyarrow.
        on_round: Told of every round of every run.
        on_end: Told how every run ended.

    Returns:
        The table of runs. A run that fails stops no other and says why in its row; after Ctrl-C
        all are saved, and asking again goes on.

    Raises:
        ConfigError: The grid does not work out; nothing has been run then.
        CheckpointError: The directory is a run, or another sweep is running in it.
    """
    if parquet:
        check_parquet()
    config, folder = read_experiment(experiment)
    directory = Path(output) if output is not None else directory_of(config)
    runs = plan_sweep(config, grid, seeds, directory, folder)
    return run_sweep(config, runs, directory, jobs, on_round, on_end, parquet=parquet)


def read_experiment(experiment: ExperimentConfig | Path | str) -> tuple[ExperimentConfig, Path]:
    """A configuration, and the folder where files of users' own kinds lie beside it."""
    if isinstance(experiment, ExperimentConfig):
        return experiment, folder_of(experiment)
    path = find_experiment(Path(experiment))
    return load_config(path), split_row(path)[0].parent


def directory_of(config: ExperimentConfig) -> Path:
    """Where a sweep lies that names no directory."""
    return Path("runs") / f"{config.name}-sweep"


def plan_sweep(
    config: ExperimentConfig,
    grid: Mapping[str, Sequence[Any]] | None,
    seeds: int | Sequence[int] | None,
    directory: Path,
    folder: Path,
) -> list[SweepRun]:
    """The runs; grid and seeds are the experiment's own unless they are given."""
    own = config.sweep
    grid = (own.grid if own else {}) if grid is None else grid
    seeds = (own.seeds if own else 1) if seeds is None else seeds
    return plan(config, grid, seeds, directory, folder)


def run_sweep(
    config: ExperimentConfig,
    runs: Sequence[SweepRun],
    directory: Path,
    jobs: int,
    on_round: OnRound,
    on_end: OnEnd,
    *,
    parquet: bool = False,
) -> SweepTable:
    """Complete the runs that `plan_sweep` made of an experiment; arguments as of `sweep`."""
    if (directory / disk.CONFIG).exists():
        raise CheckpointError(f"{directory} is a single run; name another directory for the sweep")
    directory.mkdir(parents=True, exist_ok=True)
    ends: dict[int, Ended] = {}
    with handled_interrupts(), disk.held(directory):
        _write_state(config, runs, directory, ends)
        tasks = [Task(run.config, run.directory) for run in runs]
        for place, ended in run_side_by_side(
            tasks, jobs, lambda place, record: on_round(runs[place], record)
        ):
            ends[place] = ended
            _write_state(config, runs, directory, ends)
            on_end(runs[place], ended)
        table = make_table(directory, runs, ends)
        tables = {"runs": table.rows, "rounds": table.rounds(), "settings": table.means()}
        write_tables(directory, tables, parquet=parquet)
    return table


def _write_state(
    config: ExperimentConfig, runs: Sequence[SweepRun], directory: Path, ends: Mapping[int, Ended]
) -> None:
    """Write `sweep.json`."""
    states = [
        RunState(
            directory=run.directory.relative_to(directory).as_posix(),
            settings=run.settings,
            seed=run.seed,
            status=status_of(ends.get(place)),
            problem=ends[place].problem if place in ends else "",
        )
        for place, run in enumerate(runs)
    ]
    grid = {
        key: tuple({repr(run.settings[key]): run.settings[key] for run in runs}.values())
        for key in runs[0].settings
    }
    seeds = tuple(dict.fromkeys(run.seed for run in runs))
    state = SweepState(format=FORMAT, name=config.name, grid=grid, seeds=seeds, runs=tuple(states))
    write_json(directory / STATE, state)
