"""What is known of a row after its runs: the content of `results/<paper>/<row>.json`.

Types are strict. Accuracies are fractions; bytes and key bits are totals over all rounds of a run
and all its clients.
"""

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Annotated, Literal

from pydantic import Field

from fedket.experiment.run_directory import config_hash, read_config
from fedket.record import Content, Count, RoundRecord
from fedket.report import RunRecord
from fedket.report.statistics import estimate
from fedket.reproduce.rows import Profile, Row
from fedket.reproduce.runs import SeedRun
from fedket.sweeps.complete import FINISHED

FEWEST_SEEDS = 3
"""With fewer a mean says little, and the table says so."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class SeedResult(Content):
    """One finished run."""

    seed: Count
    final: Finite | None
    """The row's metric after the last round; None if it was not finite."""
    best: Finite | None
    """Over all evaluated rounds: chosen by looking at the test set, so it flatters."""
    last: Finite | None = None
    """Test accuracy of the last model, where the metric is another."""
    loss: Finite | None = None
    """Test loss of the last model."""
    rounds: Count
    seconds: Finite
    upload_bytes: Count
    download_bytes: Count
    key_bits: Count
    parameters_sha256: str


class Machine(Content):
    """What computed, without names of hosts or people."""

    platform: str
    machine: str
    num_cpus: Count | None
    devices: tuple[str, ...]


class RowResult(Content):
    """One row: what the paper prints, what we measured, and how to get it again."""

    paper: str
    row: str
    title: str
    source: str
    metric: Literal["test_accuracy", "averaged_test_accuracy", "test_loss", "train_loss"]
    reported: Finite | None
    assumptions: tuple[str, ...]
    profile: Annotated[str, Field(pattern=r"^(full|fast|rounds-[1-9][0-9]*)$")]
    planned_rounds: Annotated[int, Field(ge=1)]
    """Of the full profile."""
    parameters: Count
    config_sha256: str
    """Of everything that decides the numbers but the seed and the number of rounds."""
    seeds: tuple[SeedResult, ...]
    problem: str
    """Why seeds are missing, one line; empty if none are."""
    machine: Machine | None
    date: str
    """Day on which the last run started, UTC."""
    fedket: str
    jax: str

    @property
    def values(self) -> list[float]:
        """The metric of every seed that has one."""
        return [seed.final for seed in self.seeds if seed.final is not None]

    @property
    def mean(self) -> float | None:
        """Over seeds."""
        return fmean(self.values) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation over seeds; None for fewer than two."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the mean, 95 %, Student's; None for fewer than two seeds."""
        found = estimate(self.values) if len(self.values) > 1 else None
        return found and (float(found.low), float(found.high))

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's."""
        if self.mean is None or self.reported is None:
            return None
        return self.mean - self.reported

    @property
    def rounds(self) -> int:
        """Rounds that every seed has."""
        return min((seed.rounds for seed in self.seeds), default=0)

    @property
    def differs(self) -> bool:
        """Whether the paper's number lies outside the interval."""
        if self.reported is None or self.interval is None:
            return False
        return not self.interval[0] <= self.reported <= self.interval[1]

    @property
    def seconds_left(self) -> float:
        """Estimate, for one seed, of the rounds that the full profile has more than this one."""
        pace = [seed.seconds / seed.rounds for seed in self.seeds if seed.rounds]
        missing = self.planned_rounds - self.rounds
        return max(missing, 0) * fmean(pace) if pace else math.nan


def condense(
    row: Row, profile: Profile, runs: Sequence[SeedRun], records: Sequence[RunRecord]
) -> RowResult:
    """Condense the runs of one row.

    Args:
        row: The row.
        profile: In which it was run.
        runs: All its runs; those that did not finish count as missing.
        records: What the finished ones wrote.
    """
    published = row.published
    newest = max((r.environment for r in records), key=lambda e: e.started, default=None)
    finished = [run for run in runs if run.status in FINISHED]
    failed = [f"seed {r.seed}: {r.problem or r.status}" for r in runs if r.status == "failed"]
    same = {text.partition(": ")[2] for text in failed}
    return RowResult(
        paper=row.paper,
        row=row.name,
        title=published.row,
        source=published.source,
        metric=published.metric,
        reported=published.reported,
        assumptions=published.assumptions,
        profile=profile.name,
        planned_rounds=row.config.federation.rounds,
        parameters=records[0].facts.parameters if records else 0,
        config_sha256=config_hash(read_config(finished[0].directory, ["seed=0"]))
        if finished
        else "",
        seeds=tuple(_seed_result(record, published.metric) for record in records),
        problem=same.pop() if len(same) == 1 else "; ".join(failed),
        machine=Machine(**newest.model_dump(include=set(Machine.model_fields))) if newest else None,
        date=newest.started[:10] if newest else "",
        fedket=newest.fedket if newest else "",
        jax=newest.jax if newest else "",
    )


def _seed_result(record: RunRecord, metric: str) -> SeedResult:
    values = [_value(r, metric) for r in record.rounds]
    better = max if metric.endswith("accuracy") else min
    end = record.rounds[-1] if record.rounds else None
    return SeedResult(
        seed=int(record.setting("seed", 0)),
        final=values[-1] if values else None,
        best=better((v for v in values if v is not None), default=None),
        last=end.test_accuracy if end and metric != "test_accuracy" else None,
        loss=end.test_loss if end else None,
        **record.summary.model_dump(include=_SUMMED),
    )


_SUMMED = {
    "rounds", "seconds", "upload_bytes", "download_bytes", "key_bits", "parameters_sha256",
}  # fmt: skip


def _value(record: RoundRecord, metric: str) -> float | None:
    """The metric of a round; that of a mean of models is among what the strategy reports."""
    found: float | None = record.metrics.get(metric, getattr(record, metric, None))
    return found
