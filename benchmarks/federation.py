"""A federation on this machine, on NVIDIA FLARE: seconds per round and to its end, and memory.

`python -m benchmarks.federation` runs a circuit of 240 angles (1 KB), masked, with
8 samples per site, so that a round is nearly all overhead: phases over mutually authenticated TLS,
durable reservation of pads, checkpoint and record. `training_ms` is one site's share of training
by itself, in this process, and can be taken off.

`5-sites-million` is a network of 10^6 values, `40-sites` many processes on one machine, `slow` is
three sites of 10^5 values behind 5 Mbit/s and 300 ms each way that stand still 5 % of the time
(needs root, see `slow_links`). Of the sites of `deaths` one is killed half way and left dead, and
another is killed and started again. Key managers deliver as fast as they can.

`end_s` is from the last round to when nothing of the job is left at anybody's.
"""

import json
import os
import signal
import statistics
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from benchmarks import load, run
from benchmarks.slow_links import Link, namespaces
from fedket.deploy.local import Started, prepare, running, start_party
from fedket.deploy.project import Layout
from fedket.experiment.build import build_experiment
from fedket.experiment.load import parse_config

SAMPLES = 8
WARM = 3
"""First rounds, which are not counted."""


class Case(NamedTuple):
    """What is measured.

    Attributes:
        sites: How many.
        rounds: Of the run.
        values: Of the model, a network; 0 for the circuit.
        link: What the sites are behind; None for the loopback.
        deaths: Whether sites are killed.
    """

    sites: int
    rounds: int = 60
    values: int = 0
    link: Link | None = None
    deaths: bool = False


def experiment(case: Case, engine: str = "sequential") -> Any:
    """A circuit of about 1 KB, or a network, and few samples."""
    sites, rounds = case.sites, case.rounds
    circuit = {"kind": "vqc", "num_qubits": 6, "num_layers": 20}
    network = {"kind": "mlp", "match_parameters": case.values}
    return parse_config(
        {
            "name": f"federation-{sites}",
            "data": {"kind": "digits", "max_train": SAMPLES * sites, "max_test": 40},
            "partition": {"kind": "iid", "num_clients": sites},
            "model": network if case.values else circuit,
            "aggregation": {"kind": "pairwise_masks", "bits": 16},
            "federation": {"rounds": rounds, "eval_every": rounds},
            "engine": {"kind": engine},
        }
    )


def training_ms(case: Case) -> float:
    """Milliseconds of a whole round of the sequential engine, divided by its sites."""
    built = build_experiment(experiment(case))
    state, seconds = built.federation.init(), []
    for _ in range(10):
        start = time.perf_counter()
        state, _ = built.federation.run_round(state, False)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[2:]) / case.sites


def processes_of(kit: Path) -> list[Path]:
    """What `/proc` has on the processes of a party: its kit's, and its job's."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if str(kit.resolve()) in command:
                found.append(process)
    return found


def site_mib(kit: Path) -> float:
    """MiB of a site's processes, pages of files that both have in memory counted once."""
    anonymous, files = 0, dict[str, int]()
    for process in processes_of(kit):
        smaps, own = (process / "smaps").read_text(), dict[str, int]()
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


def measure(case: Case) -> dict[str, Any]:
    """Run the federation and take the medians."""
    load.adopt_orphans()  # of those that are killed
    with tempfile.TemporaryDirectory() as folder:
        layout = prepare(experiment(case), case.sites, Path(folder) / "federation")
        _fast_keys(layout)
        memory: list[float] = []
        back: list[Started] = []
        with _started(case, layout):
            watched = case, layout, memory, back
            watcher = threading.Thread(target=_watch, args=watched, daemon=True)
            watcher.start()
            layout.engine.run(
                layout.kits["admin"], layout.job, layout.sites(), lambda _: None, restarts=0
            )
            watcher.join()
            while any(len(processes_of(kit)) > 1 for kit in layout.kits.values()):
                time.sleep(0.1)
            end_s = time.time() - _path(layout).stat().st_mtime
            for party in back:  # nobody else knows of it
                os.killpg(party.pid, signal.SIGKILL)
        lines = _rounds(layout)
    load.count_orphans()
    counted = lines[WARM:]
    seconds = [line["seconds"] for line in counted]
    return {
        "round_s": statistics.median(seconds),
        "slowest_round_s": max(seconds),
        "first_round_s": lines[0]["seconds"],
        "lost": float(sum(bool(line["lost"]) for line in lines)),
        "left_out": float(sum(len(line["dropped"]) for line in lines)),
        "end_s": end_s,
        "training_ms": training_ms(case),
        "mib_per_site": statistics.median(memory),
        "phases_s": _phases(counted),
    }


def _phases(lines: list[dict[str, Any]]) -> dict[str, float]:
    """Phase -> median of its seconds."""
    seconds: dict[str, list[float]] = {}
    for phase in (phase for line in lines for phase in line["phases"]):
        seconds.setdefault(phase["name"], []).append(phase["seconds"])
    return {name: statistics.median(values) for name, values in seconds.items()}


def _fast_keys(layout: Layout) -> None:
    """Let the trial's key manager deliver at once: a link's rate is not what is measured."""
    path = layout.directory / "kme" / "kme.toml"
    settings = tomllib.loads(path.read_text())
    settings["limits"] = {"max_key_count": 10**8}
    for link in settings["link"]:
        link |= {"rate_bps": 1e11, "initial_keys": 10**7}
    path.write_text(tomli_w.dumps(settings))


@contextmanager
def _started(case: Case, layout: Layout) -> Iterator[None]:
    """Run all parties, the sites behind their links."""
    if case.link is None:
        with running(layout):
            yield
        return
    client = json.loads((layout.kits["site-1"] / "startup" / "fed_client.json").read_text())
    port = int(client["servers"][0]["service"]["target"].rpartition(":")[2])
    kme = tomllib.loads((layout.directory / "kme" / "kme.toml").read_text())["kme"][0]["port"]

    def inside(party: str, command: list[str]) -> list[str]:
        return spaces[party].command(command) if party in spaces else command

    with (
        namespaces(layout.sites(), {port: case.link, kme: Link()}) as spaces,
        running(layout, inside),
    ):
        yield


def _watch(case: Case, layout: Layout, memory: list[float], back: list[Started]) -> None:
    """Measure the sites when half of the rounds are over, kill some and bring one back."""
    while len(_rounds(layout)) < case.rounds // 2:
        time.sleep(0.2)
    memory += [site_mib(layout.kits[name]) for name in layout.sites()]
    if case.deaths:
        for name in ("site-1", "site-2"):
            for process in processes_of(layout.kits[name]):
                os.kill(int(process.name), signal.SIGKILL)
        back.append(start_party(layout.kits["site-2"], "site-2"))


def _path(layout: Layout) -> Path:
    return layout.files("server") / "run" / "rounds.jsonl"


def _rounds(layout: Layout) -> list[dict[str, Any]]:
    path = _path(layout)
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


CASES = {
    "3-sites": Case(3),
    "10-sites": Case(10),
    "40-sites": Case(40, 12),
    "5-sites-million": Case(5, 12, 10**6),
    "3-sites-ten-million": Case(3, 6, 10**7),
    "deaths": Case(6, 120, deaths=True),
    "slow": Case(3, 12, 10**5, Link(0.3, 5e6, 0.05)),
}

if __name__ == "__main__":
    WORKLOADS: dict[str, Callable[[], dict[str, Any]]] = {
        name: partial(measure, case) for name, case in CASES.items()
    }
    run.main(__doc__, "federation", WORKLOADS, "3-sites", "10-sites")
