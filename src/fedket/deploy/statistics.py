"""The server's side of statistics before training, on any transport: into `statistics.json`."""

import json
import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fedket.deploy.files import FEDERATION, MIN_SITES, read_experiment, read_federation, seats_of
from fedket.deploy.handshake import number_in, shape_in
from fedket.deploy.rounds import SiteRounds
from fedket.deploy.run import ServerParts, opened_federation
from fedket.deploy.statistics_task import (
    StatisticsTask,
    make_statistics_task,
    pack_grid,
    statistics_experiment,
    statistics_fingerprint,
)
from fedket.errors import RoundLostError
from fedket.experiment.load import load_config
from fedket.files import write_atomic
from fedket.statistics.federated import ask
from fedket.statistics.pooled import SMALLEST, Statistics, as_values, from_values, summarise
from fedket.statistics.tally import Grid, Tally, read_tally

STATISTICS = "statistics.json"
"""Beside `federation.toml`: what all sites have together."""

AGAIN = "statistics are of the same sites in all rounds; ask again when all are there"


def run_statistics(folder: Path, parts: Callable[[tuple[str, ...]], ServerParts]) -> str:
    """Ask all sites that are there, and write what they have together.

    Args:
        folder: Holds `federation.toml` and what it names.
        parts: Names of the sites -> the transport.

    Raises:
        FedketError: One clear line about what is wrong.
    """
    file = read_federation(folder / FEDERATION)
    config = read_experiment(file.experiment, len(seats_of(file)))
    founded = load_config(file.experiment)
    about, fingerprint = statistics_experiment(config), statistics_fingerprint(founded)
    (folder / STATISTICS).unlink(missing_ok=True)
    with opened_federation(folder, file, about, fingerprint, parts) as opened:
        said = opened.members.meet(opened.transport.reachable)
        classes = max(number_in(handshake, "classes") for handshake in said.values())
        features = shape_in(next(iter(said.values())))
        task = make_statistics_task(about, features, classes, file.min_sites or MIN_SITES)
        session = f"statistics-{secrets.token_hex(8)}"
        rounds = opened.rounds(task, session, seats_of(file))
        opened.members.open(session, classes, opened.keys)
        found = pooled(task, rounds, file.smallest)
    write_atomic(folder / STATISTICS, json.dumps(as_values(found), indent=1) + "\n")
    return "finished"


def pooled(task: StatisticsTask, rounds: SiteRounds, smallest: int = SMALLEST) -> Statistics:
    """Hold all rounds of statistics with the same sites.

    Args:
        task: What is counted.
        rounds: Over its sites.
        smallest: Smallest count that is told.

    Raises:
        RoundLostError: A site went away; nothing is told.
    """
    cohort: tuple[int, ...] = ()

    def pool(round_num: int, grid: Grid) -> Tally:
        nonlocal cohort
        drawn = np.arange(task.config.num_clients)
        ids = tuple(rounds.attend(drawn, round_num).cohort.tolist())
        cohort = cohort or ids
        if ids != cohort:
            raise RoundLostError(f"statistics of sites {list(cohort)} cannot go on: {AGAIN}", {})
        total, traffic = rounds.total_of(pack_grid(grid), rounds.context_of(round_num, ids))
        if traffic.missing:
            raise RoundLostError(f"{'; '.join(traffic.missing.values())}: {AGAIN}", traffic.missing)
        return read_tally(np.asarray(total), task.layout)

    grid, counted, measured = ask(task.layout, pool, None, smallest)
    return summarise(
        task.layout,
        grid,
        counted,
        measured,
        name=task.config.name,
        sites=len(cohort),
        smallest=smallest,
    )


def read_statistics(folder: Path) -> Statistics | None:
    """Return what the server in these files found last, or None."""
    path = folder / STATISTICS
    return from_values(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
