"""A run that shall be there in the end: started, continued, or left as it is when it is finished.

Its directory says which, so asking again finds it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from traceback import print_exception
from typing import Literal, NamedTuple

from fedket.errors import OUT_OF_MEMORY, CheckpointError, FedketError
from fedket.experiment import run_directory as disk
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.run import OnRound, OnStart, resume_run, start_run
from fedket.record import Summary
from fedket.record_files import ENVIRONMENT, FACTS, ROUNDS, SUMMARY, read_json
from fedket.user_code import in_user_code

Watch = Callable[[], AbstractContextManager[tuple[OnStart, OnRound]]]
"""What is told of a run: `on_start` and `on_round` of `start_run`."""

Status = Literal["finished", "kept", "interrupted", "failed"]
"""How a run ended; `kept` is one that was finished before."""

FINISHED = ("finished", "kept")


class Ended(NamedTuple):
    """How a run ended, and of a failed one why, in one line."""

    status: Status
    problem: str = ""


def unwatched() -> AbstractContextManager[tuple[OnStart, OnRound]]:
    """Tell nobody."""
    return nullcontext((lambda _: None, lambda _: None))


def complete(config: ExperimentConfig, directory: Path, watch: Watch = unwatched) -> Ended:
    """See to it that a run is finished.

    Args:
        config: The run.
        directory: Where it lies, or shall lie.
        watch: Told of it unless it is finished already.
    """
    try:
        if _is_finished(config, directory):
            return Ended("kept")
        with watch() as (on_start, on_round):
            if (directory / disk.CONFIG).is_file():
                outcome = resume_run(directory, on_round, on_start=on_start, config=config)
            else:
                _clear_killed_start(directory)
                outcome = start_run(config, on_round, on_start=on_start, output=directory)
    except KeyboardInterrupt:
        return Ended("interrupted")
    except Exception as error:
        return Ended("failed", _reason(error))
    return Ended("interrupted" if outcome.summary.status == "interrupted" else "finished")


def _reason(error: Exception) -> str:
    """Why a run failed, in one line; what is nobody's input is shown with its place, too."""
    known = error if isinstance(error, FedketError | OSError | MemoryError) else in_user_code(error)
    if known is None and OUT_OF_MEMORY not in str(error):
        print_exception(error)
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return " ".join(str(known or error).split()) or type(error).__name__


def is_kept(config: ExperimentConfig, directory: Path) -> bool:
    """Whether there is nothing to do for a run; one that will fail is not."""
    try:
        return _is_finished(config, directory)
    except FedketError:
        return False


def _is_finished(config: ExperimentConfig, directory: Path) -> bool:
    """Whether a run has all its rounds; `CheckpointError` if it is one of another experiment."""
    if not (directory / disk.CONFIG).is_file():
        return False
    disk.check_same_experiment(directory, disk.read_config(directory), config)
    with suppress(CheckpointError):
        summary = read_json(directory / SUMMARY, Summary)
        return summary.status == "finished" and (
            bool(summary.stopped) or summary.rounds == config.federation.rounds
        )
    return False


def _clear_killed_start(directory: Path) -> None:
    """Take away what a run left that was killed while writing its first files, if that is all."""
    first = {disk.CHECKPOINT, ROUNDS, FACTS, ENVIRONMENT}
    if directory.is_dir() and {path.name for path in directory.iterdir()} <= first:
        for path in directory.iterdir():
            path.unlink()
