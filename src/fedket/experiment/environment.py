"""Versions and machine, for the record: `environment.json`."""

import platform
from datetime import UTC, datetime
from pathlib import Path

import jax
import numpy as np

from fedket._version import __version__
from fedket.cores import num_cores
from fedket.quantum.native import engine_name
from fedket.record import FORMAT, Environment
from fedket.record_files import ENVIRONMENT, read_json, write_json


def write_environment(directory: Path) -> None:
    """Write what computes now; a resumed run keeps the time of its start, and earlier engines."""
    path, values = directory / ENVIRONMENT, environment()
    if path.exists():
        before = read_json(path, Environment)
        engines = before.engine
        if engines.split(", then ")[-1] != values.engine:
            engines += f", then {values.engine}"
        values = values.model_copy(update={"started": before.started, "engine": engines})
    write_json(path, values)


def environment() -> Environment:
    """What computes now."""
    return Environment(
        format=FORMAT,
        fedket=__version__,
        python=platform.python_version(),
        jax=jax.__version__,
        numpy=np.__version__,
        platform=platform.system(),
        machine=platform.machine(),
        num_cpus=num_cores(),
        devices=tuple(device.device_kind for device in jax.devices()),
        engine=engine_name(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
