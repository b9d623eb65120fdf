"""A federation on this machine, on NVIDIA FLARE: seconds per round, and memory per idle site.

`python -m benchmarks.federation` runs a circuit of 240 angles (1 KB), masked, with
8 samples per site, so that a round is nearly all overhead: phases over mutually authenticated TLS,
durable reservation of pads, checkpoint and record. `training_ms` is one site's share of training
by itself, in this process, and can be taken off.
"""

import json
import statistics
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import run
from fedket.deploy.local import prepare, running
from fedket.deploy.project import Layout
from fedket.experiment.build import build_experiment
from fedket.experiment.load import parse_config

ROUNDS = 60
SAMPLES = 8


def experiment(sites: int, engine: str = "sequential") -> Any:
    """A circuit of about 1 KB and few samples."""
    return parse_config(
        {
            "name": f"federation-{sites}",
            "data": {"kind": "digits", "max_train": SAMPLES * sites, "max_test": 40},
            "partition": {"kind": "iid", "num_clients": sites},
            "model": {"kind": "vqc", "num_qubits": 6, "num_layers": 20},
            "aggregation": {"kind": "pairwise_masks", "bits": 16},
            "federation": {"rounds": ROUNDS, "eval_every": ROUNDS},
            "engine": {"kind": engine},
        }
    )


def training_ms(sites: int) -> float:
    """Milliseconds of a whole round of the sequential engine, divided by its sites."""
    built = build_experiment(experiment(sites))
    state, seconds = built.federation.init(), []
    for _ in range(10):
        start = time.perf_counter()
        state, _ = built.federation.run_round(state, False)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[2:]) / sites


def site_mib(kit: Path) -> float:
    """MiB of a site's processes, pages of files that both have in memory counted once."""
    anonymous, files = 0, dict[str, int]()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if str(kit.resolve()) not in command:
                continue
            smaps = (process / "smaps").read_text()
        except OSError:
            continue
        own: dict[str, int] = {}
        name = ""
        for line in smaps.splitlines():
            words = line.split()
            if "-" in words[0] and not words[0].endswith(":"):
                name = words[5] if len(words) > 5 and words[5].startswith("/") else ""
            elif words[0] == "Rss:" and name:
                own[name] = own.get(name, 0) + int(words[1])
            elif words[0] == "Rss:":
                anonymous += int(words[1])
        for path, size in own.items():
            files[path] = max(files.get(path, 0), size)
    return (anonymous + sum(files.values())) / 1024


def measure(sites: int) -> dict[str, Any]:
    """Run the federation and take the medians."""
    with tempfile.TemporaryDirectory() as folder:
        layout = prepare(experiment(sites), sites, Path(folder) / "federation")
        memory: list[float] = []
        with running(layout):
            watcher = threading.Thread(target=_watch, args=(layout, memory), daemon=True)
            watcher.start()
            names = tuple(party for party in layout.kits if party.startswith("site-"))
            layout.engine.run(layout.kits["admin"], layout.job, names, lambda _: None, restarts=0)
            watcher.join()
        lines = _rounds(layout)
    seconds = [line["seconds"] for line in lines]
    return {
        "round_s": statistics.median(seconds[5:]),
        "slowest_round_s": max(seconds[5:]),
        "training_ms": training_ms(sites),
        "mib_per_site": statistics.median(memory),
        "phases_s": {
            phase["name"]: statistics.median(
                p["seconds"]
                for line in lines[5:]
                for p in line["phases"]
                if p["name"] == phase["name"]
            )
            for phase in lines[-1]["phases"]
        },
    }


def _watch(layout: Layout, memory: list[float]) -> None:
    """Measure the sites when half of the rounds are over."""
    while len(_rounds(layout)) < ROUNDS // 2:
        time.sleep(0.2)
    memory += [site_mib(kit) for party, kit in layout.kits.items() if party.startswith("site-")]


def _rounds(layout: Layout) -> list[dict[str, Any]]:
    path = layout.files("server") / "run" / "rounds.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


if __name__ == "__main__":
    WORKLOADS = {f"{sites}-sites": partial(measure, sites) for sites in (3, 10)}
    run.main(__doc__, "federation", WORKLOADS)
