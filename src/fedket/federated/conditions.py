"""Simulated clients: who is there, how long each takes, who falls silent; and the round with them.

All of it is a function of (seed, round, client), worked out on the host before a round runs: its
clock is simulated, the weights are those of the clients that were in time.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

import numpy as np

from fedket.errors import ConfigError, RoundLostError
from fedket.federated.draws import Draw, constant
from fedket.federated.trainer import Attendance, CohortOutcome, Engine
from fedket.record import SIMULATED
from fedket.rng import Purpose
from fedket.types import Params, ServerState

LOOKED_AT = 20
"""Rounds that are looked at before any is run."""

AWAY, SILENT = f"not there {SIMULATED}", f"dropped out {SIMULATED}"


class Conditions(NamedTuple):
    """What clients are like.

    Attributes:
        availability: Probability of being there when a round begins.
        dropout: Probability of falling silent in a round, of a client that is there.
        seconds_per_step: Seconds of a training step.
        upload_mbps: Mbit/s from client to server.
        download_mbps: Mbit/s from server to client.
        deadline_s: Seconds after which the server goes on without clients that are not done.
    """

    availability: Draw = constant(1.0)
    dropout: Draw = constant(0.0)
    seconds_per_step: Draw = constant(0.0)
    upload_mbps: Draw = constant(inf)
    download_mbps: Draw = constant(inf)
    deadline_s: float = inf


RANGES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "availability": (lambda v: (v >= 0) & (v <= 1), "from 0 to 1"),
    "dropout": (lambda v: (v >= 0) & (v < 1), "from 0, below 1"),
    "seconds_per_step": (lambda v: (v >= 0) & (v < inf), "from 0"),
    "upload_mbps": (lambda v: v > 0, "above 0"),
    "download_mbps": (lambda v: v > 0, "above 0"),
}
"""What each number may be."""


class Clients(NamedTuple):
    """All clients in one round; shapes (clients,).

    Attributes:
        there: Whether it is there when the round begins.
        silent: The part of the round after which it says nothing any more; 1 if it stays.
        seconds: Seconds it takes for download, training and upload.
        late: Whether that is beyond the deadline.
    """

    there: np.ndarray
    silent: np.ndarray
    seconds: np.ndarray
    late: np.ndarray


class SimulatedClients(NamedTuple):
    """Clients under conditions.

    Attributes:
        of_round: Round, from 1 -> all clients in it.
        deadline_s: When the server goes on without who is not done.
        least: Clients of a round without which there is none.
        in_sum: Whether the reducer itself is told who falls silent (`answers` of
            `fedket.secure.reduce_in_process`); else those are left out before anybody trains.
    """

    of_round: Callable[[int], Clients]
    deadline_s: float = inf
    least: int = 1
    in_sum: bool = False


def simulate_clients(
    conditions: Conditions,
    seed: int,
    num_steps: Sequence[int],
    upload_bytes: int = 0,
    download_bytes: int = 0,
) -> SimulatedClients:
    """Bind conditions to clients.

    Args:
        conditions: What clients are like.
        seed: All is a function of it, the round and the client.
        num_steps: Training steps of each client in a round.
        upload_bytes: What a client sends in a round.
        download_bytes: What it is sent.

    Raises:
        ConfigError: A number is out of its range, nobody is ever there, or in time.
    """
    steps, ids = np.asarray(num_steps), np.arange(len(num_steps))

    def number(name: str, round_num: int) -> np.ndarray:
        draw: Draw = getattr(conditions, name)
        entropy = [seed, int(Purpose.CONDITIONS), list(RANGES).index(name)]
        again = round_num if draw.every_round else 0
        values = draw.values(np.random.default_rng([*entropy, again]).random(len(ids)), round_num)
        allowed, words = RANGES[name]
        wrong = np.flatnonzero(~allowed(values))
        if len(wrong):
            raise ConfigError(
                f"conditions.{name} of client {wrong[0]} is {values[wrong[0]]:g} in round "
                f"{round_num}; it should be {words}"
            )
        return values

    @lru_cache(maxsize=2)
    def of_round(round_num: int) -> Clients:
        rng = np.random.default_rng([seed, int(Purpose.SILENCE), round_num])
        here, stays, part = rng.random((3, len(ids)))
        seconds = (
            8e-6 * download_bytes / number("download_mbps", round_num)
            + steps * number("seconds_per_step", round_num)
            + 8e-6 * upload_bytes / number("upload_mbps", round_num)
        )
        silent = np.where(stays < number("dropout", round_num), part, 1.0)
        there = here < number("availability", round_num)
        return Clients(there, silent, seconds, seconds > conditions.deadline_s)

    clients = SimulatedClients(of_round, conditions.deadline_s)
    _check(clients)
    return clients


def _check(clients: SimulatedClients) -> None:
    """Raise `ConfigError` if no round of the first ones can succeed."""
    first = [clients.of_round(round_num) for round_num in range(1, LOOKED_AT + 1)]
    if not any(r.there.any() for r in first):
        raise ConfigError(
            f"conditions.availability: no client is there in any of the first {LOOKED_AT} rounds; "
            "make it larger"
        )
    fastest = min(r.seconds.min() for r in first)
    if fastest > clients.deadline_s:
        raise ConfigError(
            f"conditions.deadline_s is {clients.deadline_s:g}, but the fastest client takes "
            f"{fastest:.3g} s; allow more"
        )


def under_conditions(engine: Engine, clients: SimulatedClients) -> Engine:
    """Return the engine whose clients are simulated."""

    def attend(drawn: np.ndarray, round_num: int) -> Attendance:
        cohort, absent, *_ = engine.attend(drawn, round_num)
        now = clients.of_round(round_num)
        here, away = cohort[now.there[cohort]], cohort[~now.there[cohort]]
        seconds = round_seconds(clients, here, round_num)
        return Attendance(here, absent | dict.fromkeys(away.tolist(), AWAY), seconds)

    def run(
        params: Params, server: ServerState, states: Any, cohort: np.ndarray, round_num: int
    ) -> CohortOutcome:
        gone = {} if clients.in_sum else absent_in_round(clients, cohort, round_num)
        left = cohort[~np.isin(cohort, list(gone))]
        if len(left) < clients.least:
            raise RoundLostError(
                f"round {round_num}: {len(left)} clients are there to the end, {clients.least} "
                "must be; see [conditions]",
                gone,
            )
        outcome = engine.run(params, server, states, left, round_num)
        return outcome._replace(dropped=gone | outcome.dropped)

    return engine._replace(run=run, attend=attend)


def absent_in_round(
    clients: SimulatedClients, cohort: np.ndarray, round_num: int
) -> dict[int, str]:
    """Clients of a cohort that do not stay to the end, and why."""
    now = clients.of_round(round_num)

    late = f"later than the deadline of {clients.deadline_s:g} s {SIMULATED}"
    gone = cohort[(now.silent[cohort] < 1) | now.late[cohort]].tolist()
    return {i: SILENT if now.silent[i] < 1 else late for i in gone}


def round_seconds(clients: SimulatedClients, cohort: np.ndarray, round_num: int) -> float:
    """Simulated seconds of a round: the slowest client's, or until the deadline.

    Without a deadline the server notices at once who has dropped out.
    """
    now = clients.of_round(round_num)
    gone = (now.silent[cohort] < 1) | now.late[cohort]
    if gone.any() and clients.deadline_s < inf:
        return clients.deadline_s
    return float(now.seconds[cohort[~gone]].max(initial=0.0))


def expected(clients: SimulatedClients, cohorts: Sequence[np.ndarray]) -> str:
    """Attendance and time of the first rounds, in words; `cohorts` are theirs, in order."""
    there, silent, late, seconds = [], [], [], []
    for round_num, drawn in enumerate(cohorts, 1):
        now = clients.of_round(round_num)
        here = drawn[now.there[drawn]]
        there.append(len(here))
        silent.append((now.silent[here] < 1).sum())
        late.append((now.late[here] & (now.silent[here] == 1)).sum())
        seconds.append(round_seconds(clients, here, round_num))
    long = np.quantile(seconds, 0.95, method="higher")
    return (
        f"{np.mean(there):.3g} of {len(cohorts[0])} clients are there in a round, "
        f"{np.mean(silent):.3g} drop out and {np.mean(late):.3g} are late; it takes "
        f"{np.mean(seconds):.3g} s, 95 % of rounds {long:.3g} s at most (simulated, mean of "
        f"the first {len(cohorts)} rounds)"
    )
