"""Runs grouped by what they try: those that differ only in their seed are one setting.

A setting belongs to a panel, by the values of some keys, and has a name in it, by those of others.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fedket.errors import ConfigError, meant
from fedket.experiment.rows import flatten
from fedket.report.run_record import RunRecord
from fedket.report.wording import MISSING

TELLS_NOTHING = (
    "name",
    "description",
    "seed",
    *(f"federation.{key}" for key in ("eval_clients", "gradients", "drift", "checkpoint_every")),
)
"""Keys that decide nothing about what is tried, and tables whose keys do not."""
TABLES_ASIDE = ("paper.", "fast.")

MAX_PANELS = 6
"""That a grid makes by itself."""


class View(NamedTuple):
    """How runs are compared.

    Attributes:
        by: Config paths that tell the lines of a panel apart; empty for as few as do.
        panel: Config paths whose values make a panel.
        metric: What is drawn and tested; empty for accuracy, or loss where there is none.
        downloads: Whether figures can be saved from the page.
    """

    by: tuple[str, ...] = ()
    panel: tuple[str, ...] = ()
    metric: str = ""
    downloads: bool = False

    def of_grid(self, grid: Sequence[str], records: Sequence[RunRecord]) -> "View":
        """Lines by the first key of a sweep's grid, panels by the others, if they are few."""
        if self.by or self.panel or not grid:
            return self
        panels = {tuple(json.dumps(r.setting(k), default=str) for k in grid[1:]) for r in records}
        if len(panels) > MAX_PANELS:
            return self._replace(by=tuple(grid))
        return self._replace(by=(grid[0],), panel=tuple(grid[1:]))


class Setting(NamedTuple):
    """Runs that differ only in their seeds, no two of which are the same.

    Attributes:
        panel: What it shares with others; empty without panels.
        name: What tells it from them.
        runs: In the order they were given.
    """

    panel: str
    name: str
    runs: list[RunRecord]

    @property
    def title(self) -> str:
        """Panel and name."""
        return " · ".join(filter(None, (self.panel, self.name)))

    def finals(self, metric: str) -> dict[int, float]:
        """Seed -> last value of a metric, of runs that have one and are finished."""
        found = {}
        for run in self.runs:
            _, values = run.series(metric)
            if len(values) and run.summary.status == "finished":
                found[run.setting("seed", 0)] = float(values[-1])
        return found


def differing_settings(records: Sequence[RunRecord]) -> list[tuple[str, list[str]]]:
    """Config paths whose values are not the same in all runs, with the value in each run."""
    flat = [flatten(record.config) for record in records]
    paths = dict.fromkeys(path for settings in flat for path in settings)
    write = partial(json.dumps, ensure_ascii=False, default=str)
    rows = [(path, [write(s[path]) if path in s else MISSING for s in flat]) for path in paths]
    return [(path, values) for path, values in rows if len(set(values)) > 1]


def group_runs(
    records: Sequence[RunRecord], by: Sequence[str] = (), panel: Sequence[str] = ()
) -> list[Setting]:
    """Settings in the order of their first runs, panel by panel.

    Args:
        records: The runs.
        by: Config paths that tell settings of a panel apart; without, as few as do.
        panel: Config paths whose values make a panel.

    Raises:
        ConfigError: There is no such path, or runs of one setting differ in another.
    """
    differing = {
        path: values
        for path, values in differing_settings(records)
        if path not in TELLS_NOTHING and not path.startswith(TABLES_ASIDE)
    }
    known = {path for record in records for path in flatten(record.config)}
    for path in (*by, *panel):
        if path not in known:
            raise ConfigError(f"no run has a setting `{path}`{meant(path, known)}")
    by = by or _telling(differing, panel)
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, record in enumerate(records):
        groups[_words(record, panel, record.name), _words(record, by, record.name)].append(place)
    panels = dict.fromkeys(name for name, _ in groups)
    ordered = sorted(groups.items(), key=lambda item: list(panels).index(item[0][0]))
    settings = []
    for (panel_name, name), places in ordered:
        _check_alike(name, {p: [v[place] for place in places] for p, v in differing.items()})
        runs = [records[place] for place in places]
        settings += _apart(Setting(panel_name if panel else "", name, runs))
    return settings


def _telling(differing: dict[str, list[str]], panel: Sequence[str]) -> tuple[str, ...]:
    """The first of the paths that tell apart all that the panels do not, kinds before numbers."""
    ordered = sorted((p for p in differing if p not in panel), key=lambda p: p[-5:] != ".kind")
    chosen: list[str] = []
    several = len(next(iter(differing.values()), ()))
    for path in ordered:
        rows = [
            tuple(differing[p][i] for p in (*panel, *chosen) if p in differing)
            for i in range(several)
        ]
        finer = {(*row, differing[path][i]) for i, row in enumerate(rows)}
        if len(finer) > len(set(rows)):
            chosen.append(path)
    return tuple(chosen)


def _words(record: RunRecord, paths: Iterable[str], otherwise: str) -> str:
    """Values in words: a word says what it is, a number gets the last part of its path."""
    found = [(path, record.setting(path, MISSING)) for path in paths]
    words = ", ".join(_in_words(path, value) for path, value in found)
    return words or otherwise


def _in_words(path: str, value: Any) -> str:
    named = isinstance(value, str) and value != MISSING
    return value if named else f"{path.rpartition('.')[2]} {json.dumps(value, default=str)}"


def _check_alike(name: str, differing: dict[str, list[str]]) -> None:
    mixed = [path for path, values in differing.items() if len(set(values)) > 1]
    if mixed:
        raise ConfigError(
            f"runs of `{name}` differ in {', '.join(f'`{path}`' for path in mixed[:3])} too; add "
            f"--by {mixed[0]} or --panel {mixed[0]}"
        )


def _apart(setting: Setting) -> list[Setting]:
    """The setting, or each run by itself if two have one seed, which are no independent draws."""
    seeds = [run.setting("seed") for run in setting.runs]
    if len(set(seeds)) == len(seeds):
        return [setting]
    return [
        setting._replace(name=f"{setting.name} ({run.directory})", runs=[run])
        for run in setting.runs
    ]


def seeds_of(settings: Sequence[Setting]) -> int:
    """The most seeds that any setting has."""
    return int(np.max([len(s.runs) for s in settings], initial=0))
