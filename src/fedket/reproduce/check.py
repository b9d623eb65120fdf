"""Whether stored rows come out again, bit for bit: some are drawn and run once more."""

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from fedket.cores import one_core
from fedket.errors import ConfigError
from fedket.report import read_run
from fedket.reproduce.result import RowResult, SeedResult, condense
from fedket.reproduce.rows import Profile, find_rows
from fedket.reproduce.runs import plan_rows, run_rows
from fedket.sweeps.complete import FINISHED


class Drawn(NamedTuple):
    """A stored run."""

    row: RowResult
    seed: SeedResult

    @property
    def label(self) -> str:
        """Where it stands."""
        return f"{self.row.paper}/{self.row.row}, seed {self.seed.seed}"


class Again(NamedTuple):
    """What came out of running it once more.

    Attributes:
        drawn: What is stored.
        seed: What came; None if it did not finish.
        problem: Why not.
    """

    drawn: Drawn
    seed: SeedResult | None
    problem: str = ""

    @property
    def same(self) -> bool:
        """Whether every bit of the model and of the number is the stored one."""
        was = self.drawn.seed
        return self.seed is not None and (self.seed.parameters_sha256, self.seed.final) == (
            was.parameters_sha256,
            was.final,
        )


def choose(results: Sequence[RowResult], count: int, seed: int) -> list[Drawn]:
    """Draw stored runs, at most one of a row, the same for the same seed.

    Rows under `[privacy]` are left out: their noise comes from the operating system.

    Raises:
        ConfigError: There are none, or a row is no longer shipped.
    """
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    rows = [row for row in results if row.seeds]
    drawn = (Drawn(row, chance.choice(row.seeds)) for row in chance.sample(rows, len(rows)))
    found = list(islice((run for run in drawn if _is_repeatable(run.row)), count))
    if not found:
        raise ConfigError("there are no stored rows that could come out the same")
    return found


def _is_repeatable(row: RowResult) -> bool:
    return find_rows(row.paper, [row.row])[0].config.privacy is None


def run_again(drawn: Sequence[Drawn], parent: Path) -> Iterator[Again]:
    """Run stored runs once more, one after the other, on as many cores as they were run on.

    Args:
        drawn: The runs.
        parent: An empty folder.
    """
    for run in drawn:
        cores = run.row.machine.num_cpus if run.row.machine else None
        profile = _profile(run.row.profile)
        rows = find_rows(run.row.paper, [run.row.row])
        planned = plan_rows(rows, profile, [run.seed.seed], parent)
        with one_core(cores == 1):
            (ended,) = run_rows(planned, 1)
        if ended.status not in FINISHED:
            yield Again(run, None, ended.problem or ended.status)
            continue
        records = [read_run(ended.directory)]
        (found,) = condense(ended.row, profile, [ended], records).seeds
        yield Again(run, found)


def _profile(name: str) -> Profile:
    rounds = name.removeprefix("rounds-") if name.startswith("rounds-") else 0
    return Profile(fast=name == "fast", rounds=int(rounds))
