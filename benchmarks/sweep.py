"""Thirty runs of the quickstart: `python -m benchmarks.sweep`.

`sweep`: one command, `fedket sweep quickstart` with three strategies, two degrees of skew and five
seeds, 60 rounds each, from starting Python to the report; on all cores, and on one. `separate`:
what thirty commands `fedket run` take one after the other, from one of each setting with the first
seed.

Times are in s and hold what is compiled in the first pass; later passes find it on disk. `run_s` is
the time of a run's rounds on its core, `peak_mib` the memory of the largest process.
"""

import csv
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import run
from benchmarks.timing import wall_ms
from fedket.experiment.load import dump_config
from fedket.sweeps.run import plan_sweep, read_experiment

GRID = {
    "strategy.kind": ("fed_adam", "fed_avg", "qfedfisher"),
    "partition.alpha": (0.1, 0.5),
}
SEEDS = 5


def measure_sweep() -> dict[str, Any]:
    """Time the command; checks that all runs are there."""
    grid = [f"--grid={key}={','.join(map(str, values))}" for key, values in GRID.items()]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "sweep"
        seconds = _timed("sweep", "quickstart", *grid, f"--seeds={SEEDS}", f"--output={place}")
        with (place / "runs.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    assert {row["status"] for row in rows} == {"finished"}
    return {
        "s": seconds,
        "run_s": median(float(row["seconds"]) for row in rows),
        "peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        "runs": len(rows),
    }


def measure_separate() -> dict[str, Any]:
    """Time a command for each setting, and from them all thirty."""
    with tempfile.TemporaryDirectory() as folder:
        config, beside = read_experiment("quickstart")
        runs = plan_sweep(config, GRID, 1, Path(folder), beside)
        for place, planned in enumerate(runs):
            (Path(folder) / f"{place}.toml").write_text(dump_config(planned.config))
        files = (f"{folder}/{place}.toml" for place in range(len(runs)))
        times = [_timed("run", file, f"--output={file}.run") for file in files]
    return {"s": sum(times) * SEEDS, "one_s": median(times), "commands_timed": len(times)}


def _timed(*arguments: str) -> float:
    command = (sys.executable, "-m", "fedket", *arguments)
    return wall_ms(lambda: subprocess.run(command, check=True, capture_output=True)) / 1e3


if __name__ == "__main__":
    workloads = {"sweep": measure_sweep, "separate": measure_separate}
    run.main(__doc__, "sweep", workloads, one_core=("sweep",))
