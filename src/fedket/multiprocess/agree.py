"""One configuration for all processes of a run: process 0's."""

import tomllib

from fedket.errors import ConfigError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.load import dump_config, parse_config
from fedket.experiment.run_directory import first_difference
from fedket.multiprocess.processes import leads, share_bytes


def shared_config(own: ExperimentConfig | None) -> ExperimentConfig:
    """Return this process's configuration if it agrees with process 0's; all call it together.

    Args:
        own: What this process was started with; None takes process 0's, which has one.

    Raises:
        ConfigError: They differ, naming the first value that does.
    """
    text = share_bytes(dump_config(own).encode() if own is not None and leads() else b"")
    first = parse_config(tomllib.loads(text.decode()), source="process 0's configuration")
    if own is None:
        return first
    difference = first_difference(first, own)
    if difference is not None:
        path, there, here = difference
        raise ConfigError(
            f"this process has another configuration than process 0: `{path}` is {there} there, "
            f"{here} here; start all with the same file and options"
        )
    return own
