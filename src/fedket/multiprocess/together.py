"""`fedket run` in one of several processes: process 0 as ever, the others without a word.

Whatever goes wrong is told once: by process 0, or by the process that it went wrong in. All leave
together when that is done, since a launcher ends the rest as soon as one process ends badly.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from time import sleep
from typing import Any

from fedket.errors import CheckpointError, FedketError, ProcessLostError
from fedket.experiment.interrupts import Interrupts, handled_interrupts
from fedket.experiment.launch import Launch, check_engine

BAD_INPUT, INTERRUPTED = 2, 130
"""Exit codes beside 0, as of the command line."""

COURTESY_SECONDS = 2.0
"""How long process 0 has for saying what is wrong everywhere, before the others say it too."""


def run_together(
    launch: Launch,
    read: Callable[[], Any],
    work: Callable[[Any, Any], None],
    tell: Callable[[Exception, str], int],
) -> int:
    """Take part in a run of several processes.

    Args:
        launch: Which of them this is.
        read: () -> this process's configuration.
        work: (configuration, lead) runs the experiment; called in process 0 only.
        tell: (error, who) says what went wrong, and returns the exit code.

    Returns:
        The exit code.
    """
    with handled_interrupts() as interrupts:
        try:
            own = _own_config(launch, read, interrupts)
            _keep_standard_output()
            return _join_and_run(launch, own, work, tell, interrupts)
        except KeyboardInterrupt:
            return INTERRUPTED


def _own_config(launch: Launch, read: Callable[[], Any], interrupts: Interrupts) -> Any:
    """This process's configuration; None if it is in a run directory that only process 0 has."""
    try:
        try:
            config = read()
        except CheckpointError:
            if launch.process_id == 0:
                raise
            return None
        check_engine(config.engine, launch)
    except (FedketError, OSError):
        if launch.process_id:
            interrupts.run(partial(sleep, COURTESY_SECONDS))
        raise
    return config


def _join_and_run(
    launch: Launch,
    own: Any,
    work: Callable[[Any, Any], None],
    tell: Callable[[Exception, str], int],
    interrupts: Interrupts,
) -> int:
    from fedket.multiprocess.agree import shared_config
    from fedket.multiprocess.follow import follow_run
    from fedket.multiprocess.lockstep import Lockstep
    from fedket.multiprocess.processes import join, leave

    devices = 0 if own is None else own.engine.devices
    place = launch.num_processes, launch.process_id, launch.coordinator, devices
    interrupts.run(partial(join, *place))
    lockstep, code = Lockstep(), 0
    try:
        config = interrupts.run(partial(shared_config, own))
        if launch.process_id == 0:
            work(config, lockstep.lead())
        elif not follow_run(config, lockstep):
            code = BAD_INPUT
    except ProcessLostError:
        raise
    except (FedketError, OSError, MemoryError) as error:
        who = f"process {launch.process_id}: " if launch.process_id else ""
        code = tell(error, who) if interrupts.run(lockstep.stop) else BAD_INPUT
    if lockstep.ended:
        leave()
    return code


def _keep_standard_output() -> None:
    """Keep standard output for what fedket prints: Gloo, for one, greets on it."""
    sys.stdout.flush()
    own, nobody = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nobody, 1)
    sys.stdout = os.fdopen(own, "w", buffering=1, encoding="utf-8", errors="replace")
