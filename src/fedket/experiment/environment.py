"""Versions and machine, for the record: `environment.json`."""

import json
import os
import platform
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fedket._version import __version__
from fedket.experiment.run_directory import ENVIRONMENT
from fedket.files import write_atomic


def write_environment(directory: Path) -> None:
    """Write what computes now; a resumed run keeps the time of its start."""
    values = environment()
    with suppress(OSError, ValueError, KeyError, TypeError):
        old = json.loads((directory / ENVIRONMENT).read_text(encoding="utf-8"))
        values["started"] = str(old["started"])
    write_atomic(directory / ENVIRONMENT, json.dumps(values, indent=2) + "\n")


def environment() -> dict[str, Any]:
    """The fields of `environment.json`."""
    return {
        "fedket": __version__,
        "python": platform.python_version(),
        "jax": jax.__version__,
        "numpy": np.__version__,
        "platform": platform.system(),
        "machine": platform.machine(),
        "num_cpus": os.cpu_count(),
        "devices": [device.device_kind for device in jax.devices()],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
