"""Run every row of a paper for its seeds; finished runs stay, interrupted ones are resumed.

A run lies in `<parent>/<paper>/<profile>/<row>/seed-<n>`, so starting again finds it.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fedket.errors import FedketError
from fedket.experiment.config import ExperimentConfig
from fedket.record import RoundRecord
from fedket.reproduce.rows import Profile, Row, config_for
from fedket.sweeps.complete import Ended, Status
from fedket.sweeps.pool import Task, run_side_by_side


class Planned(NamedTuple):
    """One row with one seed that shall be run.

    Attributes:
        row: The row.
        seed: Its seed.
        directory: Where it shall lie.
        config: What is run; None if that does not work out.
        problem: Why not, one line.
    """

    row: Row
    seed: int
    directory: Path
    config: ExperimentConfig | None
    problem: str = ""

    def ended(self, how: Ended) -> "SeedRun":
        """The run."""
        return SeedRun(self.row, self.seed, self.directory, *how)

    @property
    def label(self) -> str:
        """Row and seed in words."""
        return _label(self.row, self.seed)


class SeedRun(NamedTuple):
    """One row with one seed, run.

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
    status: Status
    problem: str = ""

    @property
    def label(self) -> str:
        """Row and seed in words."""
        return _label(self.row, self.seed)


def _label(row: Row, seed: int) -> str:
    return f"{row.name}, seed {seed}"


def paper_directory(parent: Path, paper: str, profile: Profile) -> Path:
    """Where the runs of a paper lie, and its table."""
    return parent / paper / profile.name


def plan_rows(
    rows: Sequence[Row], profile: Profile, seeds: Sequence[int], parent: Path
) -> list[Planned]:
    """All runs of some rows.

    Args:
        rows: What to run.
        profile: How much of it.
        seeds: Of every row; none means each row's own.
        parent: Top of the folders of runs.
    """
    return [
        _planned(row, profile, seed, paper_directory(parent, row.paper, profile) / row.name)
        for row in rows
        for seed in seeds or row.published.seeds
    ]


def _planned(row: Row, profile: Profile, seed: int, folder: Path) -> Planned:
    directory = folder / f"seed-{seed}"
    try:
        return Planned(row, seed, directory, config_for(row, profile, seed))
    except FedketError as error:
        return Planned(row, seed, directory, None, str(error))


class Budgeted(NamedTuple):
    """Runs that fit into a time, and those that do not.

    Attributes:
        now: The shortest, as many as fit; and those that need none, finished or impossible.
        later: The others.
        seconds_later: What they take on one core, as far as it is known.
    """

    now: list[Planned]
    later: list[Planned]
    seconds_later: float


def within(planned: Sequence[Planned], each: Sequence[float | None], seconds: float) -> Budgeted:
    """Choose runs for a time, the shortest first.

    Args:
        planned: The runs.
        each: Seconds of each on a core; None if it is not known, which waits.
        seconds: Of all cores together.
    """
    left, chosen = seconds, set[int]()
    known = sorted((s, place) for place, s in enumerate(each) if s is not None)
    for needed, place in known:
        if needed <= left:
            chosen.add(place)
            left -= needed
    places = range(len(planned))
    return Budgeted(
        [planned[place] for place in places if place in chosen],
        [planned[place] for place in places if place not in chosen],
        sum(each[place] or 0.0 for place in places if place not in chosen),
    )


def run_rows(
    planned: Sequence[Planned],
    jobs: int = 0,
    on_round: Callable[[Planned, RoundRecord], None] = lambda _run, _record: None,
) -> Iterator[SeedRun]:
    """Run rows for their seeds, several at a time.

    Args:
        planned: The runs.
        jobs: See `run_side_by_side`.
        on_round: Told of every round.

    Yields:
        Every run as it ends. One that fails stops no other; an interruption stops them all.
    """
    able, tasks = [], []
    for run in planned:
        if run.config is None:
            yield run.ended(Ended("failed", run.problem))
            continue
        able.append(run)
        tasks.append(Task(run.config, run.directory))
    for place, ended in run_side_by_side(
        tasks, jobs, lambda place, record: on_round(able[place], record)
    ):
        yield able[place].ended(ended)
