"""MLflow, TensorBoard, and Weights & Biases."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from fedket.bridges.extras import needs_extra
from fedket.section import Context
from fedket.track.sink import TrackConfig, TrackedRun, Tracker

PARAMETERS = 100
"""Settings that MLflow takes at a time."""

LONGEST = 500
"""Characters of a setting."""


class MlflowConfig(TrackConfig):
    """A run of an MLflow experiment (`pip install fedket[track]`)."""

    kind: Literal["mlflow"] = "mlflow"
    uri: str = ""
    """Tracking server, such as `http://localhost:5000`; empty means `MLFLOW_TRACKING_URI`."""
    experiment: str = "fedket"
    """MLflow's experiment, made if there is none of that name."""

    def build(self, context: Context) -> Callable[[TrackedRun], Tracker]:
        """MLflow."""
        return partial(to_mlflow, self.uri, self.experiment)


class TensorboardConfig(TrackConfig):
    """An event file for TensorBoard (`pip install fedket[track]`)."""

    kind: Literal["tensorboard"] = "tensorboard"
    directory: str = ""
    """Where event files go, a folder for each run; empty means into `tensorboard` of the run."""

    def build(self, context: Context) -> Callable[[TrackedRun], Tracker]:
        """TensorBoard."""
        return partial(to_tensorboard, self.directory)


class WandbConfig(TrackConfig):
    """A run of Weights & Biases (`pip install wandb`)."""

    kind: Literal["wandb"] = "wandb"
    project: str = "fedket"
    """Project there."""
    mode: Literal["online", "offline"] = "online"
    """`offline` writes into the run directory, for `wandb sync` later."""

    def build(self, context: Context) -> Callable[[TrackedRun], Tracker]:
        """Weights & Biases."""
        return partial(to_wandb, self.project, self.mode)


def to_mlflow(uri: str, experiment: str, run: TrackedRun) -> Tracker:
    """Track in MLflow; a run that goes on is the same run there."""
    with needs_extra("track"):
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param
    client = MlflowClient(tracking_uri=uri or None)
    identity = run.tracked_as
    if not identity:
        found = client.get_experiment_by_name(experiment)
        place = found.experiment_id if found else client.create_experiment(experiment)
        identity = client.create_run(place, run_name=run.directory.name).info.run_id
        settings = [Param(k, str(v)[:LONGEST]) for k, v in run.settings.items()]
        for start in range(0, len(settings), PARAMETERS):
            client.log_batch(identity, params=settings[start : start + PARAMETERS])
        client.set_tag(identity, "fedket.directory", str(run.directory.resolve()))

    def log(round_num: int, numbers: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, round_num) for name, value in numbers.items()]
        client.log_batch(identity, metrics=metrics)

    def finish(status: str) -> None:
        words = {"finished": "FINISHED", "interrupted": "KILLED"}
        client.set_terminated(identity, words.get(status, "FAILED"))

    return Tracker(log, finish, identity)


def to_tensorboard(directory: str, run: TrackedRun) -> Tracker:
    """Write events for TensorBoard; of a run that goes on, rounds that are run again count once."""
    with needs_extra("track"):
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    place = Path(directory).expanduser() / run.directory.name if directory else None
    writer = EventFileWriter(str(place or run.directory / "tensorboard"))
    begun = SessionLog(status=SessionLog.START)
    writer.add_event(Event(step=run.done + 1, wall_time=time.time(), session_log=begun))

    def log(round_num: int, numbers: Mapping[str, float]) -> None:
        values = [Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        summary = Summary(value=values)
        writer.add_event(Event(step=round_num, wall_time=time.time(), summary=summary))
        writer.flush()

    return Tracker(log, lambda _: writer.close())


def to_wandb(project: str, mode: Literal["online", "offline"], run: TrackedRun) -> Tracker:
    """Track in Weights & Biases; a run that goes on is the same run there."""
    with needs_extra("wandb"):
        import wandb
    tracked = wandb.init(
        project=project,
        mode=mode,
        name=run.directory.name,
        dir=str(run.directory),
        id=run.tracked_as or None,
        resume="allow" if run.tracked_as else None,
        config=dict(run.settings),
    )
    return Tracker(
        lambda round_num, numbers: tracked.log(dict(numbers), step=round_num),
        lambda status: tracked.finish(exit_code=int(status == "failed")),
        str(tracked.id),
    )
