"""Which runs a sweep consists of, and where each lies: `<sweep>/<settings>/seed-<n>`."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fedket.errors import ConfigError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.grid import MOST_RUNS, Grid, settings_of, with_seed
from fedket.schema import show_value

LONGEST_NAME = 100
"""Characters of a folder's name."""


class SweepRun(NamedTuple):
    """One run of a sweep.

    Attributes:
        settings: `TABLE.KEY` -> value, of the grid's keys.
        seed: Its seed.
        config: All of it.
        directory: Where it lies.
        left_out: See `fedket.experiment.grid.Setting`.
    """

    settings: Mapping[str, Any]
    seed: int
    config: ExperimentConfig
    directory: Path
    left_out: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Settings and seed in words."""
        return ", ".join(filter(None, (label(self.settings), f"seed {self.seed}")))


def plan(
    config: ExperimentConfig,
    grid: Grid,
    seeds: int | Sequence[int],
    output: Path,
    folder: Path = Path(),
) -> list[SweepRun]:
    """The runs of a sweep, by seed within settings.

    Args:
        config: What is varied.
        grid: `TABLE.KEY` -> values.
        seeds: How many from the experiment's own on, or which.
        output: The sweep's directory.
        folder: Where the files of users' own kinds lie.

    Raises:
        ConfigError: See `settings_of`; or the seeds are none.
    """
    numbers = seeds_of(seeds, config.seed)
    settings = settings_of(config, grid, folder)
    if len(settings) * len(numbers) > MOST_RUNS:
        raise ConfigError(
            f"{len(settings)} settings with {len(numbers)} seeds; use {MOST_RUNS} runs at most"
        )
    return [
        SweepRun(s.values, seed, with_seed(s.config, seed), place / f"seed-{seed}", s.left_out)
        for s in settings
        for place in [output / _folder_name(s.values)]
        for seed in numbers
    ]


def seeds_of(seeds: int | Sequence[int], first: int) -> list[int]:
    """The seeds, distinct.

    Raises:
        ConfigError: There are none, or some are no seeds.
    """
    numbers = list(range(first, first + seeds)) if isinstance(seeds, int) else list(seeds)
    whole = all(isinstance(n, int) and 0 <= n < 2**31 for n in numbers)
    if not numbers or not whole or len(set(numbers)) < len(numbers):
        raise ConfigError(
            "seeds should be how many, from 1, or distinct whole numbers below 2^31, got "
            f"{show_value(seeds if isinstance(seeds, int) else list(seeds))}"
        )
    return numbers


def label(settings: Mapping[str, Any]) -> str:
    """Settings in few words: `strategy = fed_avg, alpha = 0.1`."""
    return ", ".join(f"{name} = {value}" for name, value in _shortened(settings).items())


def _shortened(settings: Mapping[str, Any]) -> dict[str, str]:
    """Keys without their table, kinds by that of their table, unless two would be called alike."""
    parts = {key: key.split(".") for key in settings}
    short = {key: p[-2] if p[-1] == "kind" and len(p) > 1 else p[-1] for key, p in parts.items()}
    names = list(short.values())
    return {
        short[key] if names.count(short[key]) == 1 else key: str(value)
        for key, value in settings.items()
    }


def _folder_name(settings: Mapping[str, Any]) -> str:
    """Settings as a folder's name, the same whenever it is asked for."""
    raw = ",".join(f"{name}={value}" for name, value in _shortened(settings).items())
    name = re.sub(r"[^A-Za-z0-9._=,+-]", "_", raw)
    if name == raw and len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}-{hashlib.sha256(raw.encode()).hexdigest()[:8]}"
