"""One configuration for all processes of a run: process 0's."""

import json
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

from fedket.errors import ConfigError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.load import dump_config, parse_config
from fedket.experiment.run_directory import deciding_values, first_difference
from fedket.multiprocess.processes import leads, share_bytes
from fedket.section import user_files


def shared_config(own: ExperimentConfig | None) -> ExperimentConfig:
    """Return this process's configuration if it agrees with process 0's; all call it together.

    Args:
        own: What this process was started with; None takes process 0's, which has one, and the
            files of users' kinds from its disk.

    Raises:
        ConfigError: They differ, naming the first value that does.
    """
    values, text, files = json.loads(share_bytes(_told(own) if own and leads() else b""))
    if own is None:
        return _with_files(text, files)
    difference = first_difference(values, json.loads(json.dumps(deciding_values(own))))
    if difference is not None:
        path, there, here = difference
        raise ConfigError(
            f"this process has another configuration than process 0: `{path}` is {there} there, "
            f"{here} here; start all with the same file and options"
        )
    return own


def _told(own: ExperimentConfig) -> bytes:
    """What process 0 tells of its configuration."""
    files = {name: path.read_text(encoding="utf-8") for name, path in user_files(own).items()}
    return json.dumps((deciding_values(own), dump_config(own), files)).encode()


def _with_files(text: str, files: dict[str, str]) -> ExperimentConfig:
    with TemporaryDirectory() as folder:
        for name, source in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        return parse_config(tomllib.loads(text), "process 0's configuration", Path(folder))
