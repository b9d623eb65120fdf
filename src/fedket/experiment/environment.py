"""Versions and machine, for the record: `environment.json`."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import jax
import numpy as np

from fedket._version import __version__
from fedket.record import FORMAT, Environment
from fedket.record_files import ENVIRONMENT, read_json, write_json


def write_environment(directory: Path) -> None:
    """Write what computes now; a resumed run keeps the time of its start."""
    path, values = directory / ENVIRONMENT, environment()
    if path.exists():
        values = values.model_copy(update={"started": read_json(path, Environment).started})
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
        num_cpus=os.cpu_count(),
        devices=tuple(device.device_kind for device in jax.devices()),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
