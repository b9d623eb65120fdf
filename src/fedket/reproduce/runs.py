"""Run every row of a paper for its seeds; finished runs stay, interrupted ones are resumed.

A run lies in `<parent>/<paper>/<profile>/<row>/seed-<n>`, so starting again finds it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

import jax

from fedket.errors import CheckpointError, FedketError
from fedket.experiment import run_directory as disk
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.run import resume_run, start_run
from fedket.record import RoundRecord, Summary
from fedket.record_files import ENVIRONMENT, FACTS, ROUNDS, SUMMARY, read_json
from fedket.reproduce.rows import Profile, Row, config_for

Watch = Callable[
    [Row, ExperimentConfig],
    AbstractContextManager[tuple[Callable[[Path], None], Callable[[RoundRecord], None]]],
]
"""What is told of a run: `on_start` and `on_round` of `start_run`."""


OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"
"""How JAX spells `MemoryError`."""


FINISHED = ("finished", "kept")


class SeedRun(NamedTuple):
    """One row with one seed.

    Attributes:
        row: The row.
        seed: Its seed.
        directory: Where the run lies.
        status: How it ended; `kept` is a run that an earlier start had finished.
        problem: Why it failed, one line; empty otherwise.
    """

    row: Row
    seed: int
    directory: Path
    status: Literal["finished", "kept", "interrupted", "failed"]
    problem: str = ""


def paper_directory(parent: Path, paper: str, profile: Profile) -> Path:
    """Where the runs of a paper lie, and its table."""
    return parent / paper / profile.name


def seed_directory(parent: Path, row: Row, profile: Profile, seed: int) -> Path:
    """Where a row's run with a seed lies."""
    return paper_directory(parent, row.paper, profile) / row.name / f"seed-{seed}"


def run_rows(
    rows: Sequence[Row], profile: Profile, seeds: Sequence[int], parent: Path, watch: Watch
) -> Iterator[SeedRun]:
    """Run rows one after the other, each for its seeds.

    Args:
        rows: What to run.
        profile: How much of it.
        seeds: Of every row; none means each row's own.
        parent: Top of the folders of runs.
        watch: Told of every run that is not finished yet.

    Yields:
        Every run once it ended. A run that fails does not stop the others; an interrupted one is
        the last.
    """
    for row in rows:
        for seed in seeds or row.published.seeds:
            folder = seed_directory(parent, row, profile, seed)
            done = run_seed(row, profile, seed, folder, watch)
            yield done
            if done.status == "interrupted":
                return
        jax.clear_caches()  # the programs of a row are of no use to the next


def run_seed(row: Row, profile: Profile, seed: int, directory: Path, watch: Watch) -> SeedRun:
    """Start a run, continue it, or leave it as it is when it is finished."""
    try:
        config = config_for(row, profile, seed)
        if _is_finished(directory, config):
            return SeedRun(row, seed, directory, "kept")
        with watch(row, config) as (on_start, on_round):
            if (directory / disk.CONFIG).is_file():
                outcome = resume_run(directory, on_round, on_start=on_start, config=config)
            else:
                _clear_killed_start(directory)
                outcome = start_run(config, on_round, on_start=on_start, output=directory)
    except KeyboardInterrupt:
        return SeedRun(row, seed, directory, "interrupted")
    except (FedketError, OSError, MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) and OUT_OF_MEMORY not in str(error):
            raise
        problem = " ".join(str(error).split()) or type(error).__name__
        return SeedRun(row, seed, directory, "failed", problem)
    interrupted = outcome.summary.status == "interrupted"
    return SeedRun(row, seed, directory, "interrupted" if interrupted else "finished")


def _is_finished(directory: Path, config: ExperimentConfig) -> bool:
    """Whether a run has all its rounds; `CheckpointError` if it is one of another experiment."""
    if not (directory / disk.CONFIG).is_file():
        return False
    disk.check_same_experiment(directory, disk.read_config(directory), config)
    with suppress(CheckpointError):
        summary = read_json(directory / SUMMARY, Summary)
        return summary.status == "finished" and (
            bool(summary.stopped) or summary.rounds == config.federation.rounds
        )
    return False


def _clear_killed_start(directory: Path) -> None:
    """Take away what a run left that was killed while writing its first files, if that is all."""
    first = {disk.CHECKPOINT, ROUNDS, FACTS, ENVIRONMENT}
    if directory.is_dir() and {path.name for path in directory.iterdir()} <= first:
        for path in directory.iterdir():
            path.unlink()
