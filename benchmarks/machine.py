"""The machine a result comes from, and the files results are kept in.

No host name, user or path is recorded: results are published.
"""

import datetime
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = ("fedket", "jax", "jaxlib", "numpy")


def describe() -> dict[str, Any]:
    """Return what a reader needs to place a timing: processor, cores, load, versions, date."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),  # of the last minute; above 0.5, others are at work
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def save(record: dict[str, Any], machine: dict[str, Any]) -> Path:
    """Append a workload's record to `results/<date>-<workload>.json`, a list, and return it."""
    path = RESULTS / f"{machine['date'][:10]}-{record['workload']}.json"
    path.parent.mkdir(exist_ok=True)
    records = json.loads(path.read_text()) if path.exists() else []
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps([*records, {"machine": machine, **record}], indent=1) + "\n")
    unfinished.replace(path)
    return path


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


if __name__ == "__main__":
    print(json.dumps(describe(), indent=1))
