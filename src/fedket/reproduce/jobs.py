"""Several runs of a sweep at a time, each on a core of its own.

Runs do not talk to each other, so cores are used best by one process each that is pinned to it: a
run's own threads then never wait for another's. A run's result is that of one core, whatever the
number of jobs.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from itertools import cycle
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from fedket.errors import FedketError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.interrupts import handled_interrupts
from fedket.experiment.load import load_config
from fedket.reproduce.rows import Profile, Row
from fedket.reproduce.runs import SeedRun, run_seed, seed_directory


class _Worker(NamedTuple):
    process: BaseProcess
    pipe: Connection
    core: int | None


def run_rows_side_by_side(
    rows: Sequence[Row],
    profile: Profile,
    seeds: Sequence[int],
    parent: Path,
    jobs: int,
    prepare: Callable[[], None],
) -> Iterator[SeedRun]:
    """Run rows for their seeds, `jobs` at a time.

    Args:
        rows: What to run.
        profile: How much of it.
        seeds: Of every row; none means each row's own.
        parent: Top of the folders of runs.
        jobs: Processes, 1 or more; more than there are cores share them.
        prepare: A module's own function that every process calls first.

    Yields:
        Every run as it ends. One that fails, or whose process dies, does not stop the others;
        after an interruption those that run are saved, and no others are started.
    """
    waiting = [(row, seed) for row in rows for seed in seeds or row.published.seeds]
    cores = [core for _, core in zip(range(min(jobs, len(waiting))), cycle(_cores()), strict=False)]
    workers = {worker.pipe: worker for worker in (_start(core, prepare) for core in cores)}
    idle = list(workers)
    running: dict[Connection, tuple[Row, int, Path]] = {}
    stopped = False
    try:
        while running or waiting:
            while idle and waiting:
                row, seed = waiting.pop(0)
                directory = seed_directory(parent, row, profile, seed)
                pipe = idle.pop()
                with suppress(OSError):  # of a process that has died, which `_result` finds
                    pipe.send((row.paper, row.name, row.path, profile, seed, directory))
                running[pipe] = row, seed, directory
            ended = _ready(wait(list(running))) if stopped else _wait(running)
            results = [(pipe, _result(pipe, *running.pop(pipe))) for pipe in ended]
            for pipe, run in results:
                if run.problem == DIED:
                    dead = workers.pop(pipe)
                    new = _start(dead.core, prepare)
                    workers[new.pipe], pipe = new, new.pipe
                idle.append(pipe)
            if not stopped and (not ended or any(r.status == "interrupted" for _, r in results)):
                waiting, stopped = [], True
                _interrupt(list(workers.values()))
            for _, run in results:
                yield run
    finally:
        _end(list(workers.values()))


DIED = "its process ended before it did, perhaps for lack of memory; start fewer jobs"


def _wait(running: dict[Connection, tuple[Row, int, Path]]) -> list[Connection]:
    """Those whose run has ended; none after Ctrl-C or SIGTERM."""
    try:
        with handled_interrupts() as interrupts:
            return _ready(interrupts.run(partial(wait, list(running))))
    except KeyboardInterrupt:
        return []


def _ready(ended: Sequence[object]) -> list[Connection]:
    return [pipe for pipe in ended if isinstance(pipe, Connection)]


def _start(core: int | None, prepare: Callable[[], None]) -> _Worker:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, core, prepare), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours, core)


def _cores() -> list[int | None]:
    """Cores to pin processes to, where the system can; else None."""
    if hasattr(os, "sched_getaffinity"):
        return list(os.sched_getaffinity(0))
    return [None]


def _interrupt(workers: Sequence[_Worker]) -> None:
    """Let every run save and stop, whether the terminal has told it to or not."""
    for worker in workers:
        if worker.process.is_alive() and worker.process.pid is not None:
            os.kill(worker.process.pid, signal.SIGTERM)


def _end(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.pipe.close()
    for worker in workers:
        worker.process.join()


def _result(pipe: Connection, row: Row, seed: int, directory: Path) -> SeedRun:
    try:
        status, problem = pipe.recv()
    except (EOFError, OSError):
        return SeedRun(row, seed, directory, "failed", DIED)
    return SeedRun(row, seed, directory, status, problem)


def _work(pipe: Connection, core: int | None, prepare: Callable[[], None]) -> None:
    """Run what comes until nothing does; a signal between two runs stops the next."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    prepare()
    with handled_interrupts():
        while True:
            try:
                paper, name, path, profile, seed, directory = pipe.recv()
            except EOFError:
                return
            try:
                config = load_config(path)
            except FedketError as error:  # somebody has changed the file since
                pipe.send(("failed", str(error)))
                continue
            if config.paper is None:
                pipe.send(("failed", f"{path} has no [paper] table any more"))
                continue
            row = Row(paper, name, path, config, config.paper)
            done = run_seed(row, profile, seed, directory, _unwatched)
            pipe.send((done.status, done.problem))


def _unwatched(row: Row, config: ExperimentConfig) -> Any:  # noqa: ARG001 - as others watch
    """Show nothing."""
    return nullcontext((_ignore, _ignore))


def _ignore(_: object) -> None:
    """Tell nobody."""
