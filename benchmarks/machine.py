"""The machine a result comes from, and what C reaches on one of its cores.

No host name, user or path is recorded: results are published.
"""

import datetime
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PACKAGES = ("fedket", "fedket-native", "jax", "jaxlib", "numpy")
COMPILE = ("gcc", "-O3", "-march=native", "-ffast-math")


def describe() -> dict[str, Any]:
    """Return what a reader needs to place a timing: processor, cores, memory, versions, date."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "revision": _said("git", "-C", str(HERE), "describe", "--always", "--dirty"),
        "compiler": _said(COMPILE[0], "--version"),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def compile_limit(folder: Path) -> Path | None:
    """Compile `limit.c` into a folder and return the program, or None if there is no gcc."""
    program = folder / "limit"
    command = (*COMPILE, str(HERE / "limit.c"), "-lm", "-o", str(program))
    return None if _said(*command) is None else program


def _said(*command: str) -> str | None:
    """Return the first line that a command prints, or None if it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return (done.stdout.splitlines() or [""])[0]


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
