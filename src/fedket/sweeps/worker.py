"""A process that runs what it is sent, one run after the other: the pool's other end.

Its arguments are the file descriptor of its end of a pipe, and the core it is pinned to. What it is
sent is a `Job`; it answers with the records of the rounds and, last, how the run ended.
"""

import os
import sys
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from fedket.process import prepare


class Job(NamedTuple):
    """A run on its way to a worker.

    Attributes:
        values: Its configuration as nested values.
        folder: Where the files of users' kinds lie.
        directory: Where it lies.
        program: Alike for runs that share compiled programs.
    """

    values: dict[str, Any]
    folder: Path
    directory: Path
    program: Hashable


def main() -> None:
    """Run what comes until nothing does; a signal between two runs stops the next."""
    descriptor, core = sys.argv[1:]
    if core:
        os.sched_setaffinity(0, {int(core)})
    pipe = Connection(int(descriptor))
    from fedket.experiment.interrupts import handled_interrupts

    prepare()
    program: Hashable = None
    with handled_interrupts(), suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            job: Job = pipe.recv()
            if program not in (None, job.program):
                _forget_programs()
            program = job.program
            pipe.send(_run(job, pipe))


def _forget_programs() -> None:
    """The programs of other runs are of no use to the next."""
    import jax

    jax.clear_caches()


def _run(job: Job, pipe: Connection) -> Any:
    from fedket.errors import FedketError
    from fedket.experiment.load import parse_config
    from fedket.sweeps.complete import Ended, complete

    try:
        config = parse_config(job.values, str(job.directory), job.folder)
    except FedketError as error:  # somebody has changed a file of the user's since
        return Ended("failed", str(error))
    return complete(config, job.directory, partial(_told, pipe))


@contextmanager
def _told(pipe: Connection) -> Iterator[Any]:
    """Send every round's record; stop, with all saved, if nobody is there to get it."""

    def on_round(record: Any) -> None:
        try:
            pipe.send(record)
        except OSError:
            raise KeyboardInterrupt from None

    yield (lambda _: None), on_round


if __name__ == "__main__":
    main()
