"""Several runs at a time, each on a core of its own.

Runs do not talk to each other, so cores are used best by one process each that is pinned to it: a
run's own threads then never wait for another's. A run's result is that of one core, however many
there are at a time, unless it is a single one that has them all. A process takes one run after the
other, so that what it has imported and compiled serves them all; runs that share programs go to the
same process as long as there are any.
"""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import entry_points
from itertools import cycle, islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

from fedket.cores import num_cores
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.interrupts import handled_interrupts
from fedket.experiment.load import folder_of
from fedket.experiment.run_directory import deciding_values
from fedket.record import RoundRecord
from fedket.sweeps.complete import Ended, is_kept
from fedket.sweeps.worker import Job


class Task(NamedTuple):
    """A run, and the directory it shall lie in."""

    config: ExperimentConfig
    directory: Path


OnTaskRound = Callable[[int, RoundRecord], None]
"""(place of the task, record): a round of it is on disk."""

INTERRUPTED = Ended("interrupted")
DIED = "its process ended before it did, perhaps for lack of memory; start fewer jobs"


def program_of(config: ExperimentConfig) -> Hashable:
    """What decides the programs of a run: all of it but the seed and the numbers in it.

    Runs that are alike in it share their compiled programs, unless their data have other shapes.
    """
    values = deciding_values(config).items()
    fixed = ((k, repr(v)) for k, v in values if k != "seed" and not isinstance(v, float))
    return tuple(sorted(fixed))


def run_side_by_side(
    tasks: Sequence[Task], jobs: int = 0, on_round: OnTaskRound = lambda _place, _record: None
) -> Iterator[tuple[int, Ended]]:
    """Complete runs, `jobs` at a time.

    Args:
        tasks: The runs.
        jobs: Processes; more than there are cores share them, and a single one has them all. 0
            means as many as `default_jobs`.
        on_round: Told of every round.

    Yields:
        Place of a task, and how it ended, as it ends; those first that were finished before, for
        which no process is started. One that fails, or whose process dies, does
        not stop the others; after an interruption those that run are saved, and no others are
        started.
    """
    missing = []
    for place, task in enumerate(tasks):
        if is_kept(task.config, task.directory):
            yield place, Ended("kept")
        else:
            missing.append(place)
    queue = _Queue(tasks, missing)
    jobs = min(jobs or default_jobs(), len(missing))
    workers = {worker.pipe: worker for worker in map(_start, islice(_cores(jobs), jobs))}
    idle = list(workers)
    running: dict[Connection, int] = {}
    stopped = False
    try:
        while running or queue:
            while idle and queue:
                pipe = idle.pop()
                running[pipe] = place = queue.take(workers[pipe])
                with suppress(OSError):  # of a process that has died, which `_received` finds
                    pipe.send(_job(tasks[place]))
            told = _ready(wait(list(running))) if stopped else _wait(running)
            ended = []
            for pipe in told:
                message = _received(pipe)
                if isinstance(message, RoundRecord):
                    on_round(running[pipe], message)
                    continue
                died = message.problem == DIED
                # One that is told to stop before it listens ends at once.
                ended.append((running.pop(pipe), INTERRUPTED if died and stopped else message))
                if died and not stopped:
                    dead = workers.pop(pipe)
                    _end([dead])
                    new = _start(dead.core)
                    workers[new.pipe], pipe = new, new.pipe
                idle.append(pipe)
            if not stopped and (not told or any(e.status == "interrupted" for _, e in ended)):
                queue.clear()
                stopped = True
                _interrupt(workers.values())
            yield from ended
    finally:
        _end(list(workers.values()))


class _Worker:
    """A process, its pipe and core, and what it has compiled."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", pipe: Connection, core: int | None
    ) -> None:
        self.process, self.pipe, self.core = process, pipe, core
        self.program: Hashable = None


class _Queue:
    """Places of tasks that wait, by what they share."""

    def __init__(self, tasks: Sequence[Task], places: Iterable[int]) -> None:
        self._waiting = list(places)
        self._programs = {place: program_of(tasks[place].config) for place in self._waiting}

    def __len__(self) -> int:
        return len(self._waiting)

    def clear(self) -> None:
        """Start no others."""
        self._waiting = []

    def take(self, worker: _Worker) -> int:
        """The next task of a worker: of its program, else of that with the most left to do."""
        left = Counter(self._programs[place] for place in self._waiting)
        if worker.program not in left:
            worker.program = left.most_common(1)[0][0]
        place = next(p for p in self._waiting if self._programs[p] == worker.program)
        self._waiting.remove(place)
        return place


def _job(task: Task) -> Job:
    values = task.config.model_dump(mode="json", exclude_none=True)
    return Job(values, folder_of(task.config), task.directory, program_of(task.config))


def _wait(running: dict[Connection, int]) -> list[Connection]:
    """Those who have something to tell; none after Ctrl-C or SIGTERM."""
    try:
        with handled_interrupts() as interrupts:
            return _ready(interrupts.run(partial(wait, list(running))))
    except KeyboardInterrupt:
        return []


def _ready(told: Sequence[object]) -> list[Connection]:
    return [pipe for pipe in told if isinstance(pipe, Connection)]


def _start(core: int | None) -> _Worker:
    """Start a process of its own, which imports nothing of the program that asks."""
    ours, theirs = Pipe()
    place = theirs.fileno()
    command = [sys.executable, "-P", "-m", "fedket.sweeps.worker", str(place)]
    pinned = "" if core is None else str(core)
    # Processes that share a GPU must not take all of its memory each.
    variables = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen(  # noqa: S603
        [*command, pinned],
        pass_fds=[place],
        env=variables,
        start_new_session=True,  # Ctrl-C is for this process, which tells the others
    )
    theirs.close()
    return _Worker(process, ours, core)


def default_jobs() -> int:
    """Runs at a time unless somebody says: one per core, or one where JAX has a GPU for it."""
    accelerated = entry_points(group="jax_plugins") and os.environ.get("JAX_PLATFORMS") != "cpu"
    return 1 if accelerated else num_cores()


def _cores(jobs: int) -> Iterator[int | None]:
    """Cores to pin processes to, where there are several and the system can; else None."""
    can = jobs > 1 and hasattr(os, "sched_getaffinity")
    return cycle(sorted(os.sched_getaffinity(0)) if can else [None])


def _interrupt(workers: Iterable[_Worker]) -> None:
    """Let every run save and stop."""
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.send_signal(signal.SIGTERM)


def _end(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.pipe.close()
    for worker in workers:
        worker.process.wait()


def _received(pipe: Connection) -> RoundRecord | Ended:
    try:
        message: RoundRecord | Ended = pipe.recv()
    except (EOFError, OSError):
        return Ended("failed", DIED)
    return message
