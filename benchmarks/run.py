"""One run of a benchmark: fresh processes of all sides in turns, and what else the machine did.

A pass starts one process of each side, one after the other, and with them the C program of
`limit.c`; a run is five passes. In a process, `timing` takes the median of repeated calls; a run
keeps what the processes found and says median, quartiles and range. Ratios are taken pass by pass,
since a machine drifts.

A process beside which others computed (`load.MOST_OTHERS`) is measured anew, twice at most. If they
still do, the run says so and is not published: files in `results/` are what README shows.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import load, machine
from benchmarks.figures import differs, paired, shown, spread, summary
from benchmarks.setup_peers import environment, is_ready
from benchmarks.timing import answer

ROOT = machine.HERE.parent
RESULTS = machine.HERE / "results"
LEAST_PROCESSES = 5
FEWER = {"federation": 3}
"""Benchmarks whose process is many processes and dozens of rounds -> so few make a run."""

MOST_ATTEMPTS = 3
ONE_CORE = "fedket_one_core"
"""Name of the side that may use a single core."""

Found = dict[tuple[str, str], list[dict[str, Any]]]
"""(side, workload) -> what each process found."""


class Side(NamedTuple):
    """Who is measured.

    Attributes:
        name: Several sides of one name add up to one.
        command: Gets workloads as arguments, prints one line of JSON for each.
        workloads: What it is measured on, in one process.
        cores: How many cores it may use; all if None.
        taken: A process that always computes runs beside it.
        variables: Of its environment, beside ours.
        missing: Why it cannot run.
    """

    name: str
    command: tuple[str | Path, ...]
    workloads: tuple[str, ...]
    cores: int | None = None
    taken: bool = False
    variables: Mapping[str, str] = {}
    missing: str | None = None


def peer(name: str, venv: str, workloads: Sequence[str]) -> Side:
    """Return the side of a module in `peers`, which runs in an environment of `setup_peers`."""
    ready = f"{environment(venv).name} is not ready: run `python -m benchmarks.setup_peers`"
    command = (environment(venv) / "bin" / "python", "-m", f"benchmarks.peers.{name}")
    return Side(name, command, tuple(workloads), missing=None if is_ready(venv) else ready)


class LoadedError(Exception):
    """Others compute on this machine."""


def main(
    about: str,
    name: str,
    workloads: dict[str, Callable[[], dict[str, Any]]],
    *usual: str,
    one_core: Iterable[str] = (),
) -> None:
    """Run a benchmark of fedket alone, or answer as one of its processes.

    Args:
        about: First line of the help.
        name: Of the module in `benchmarks`.
        workloads: Each measures itself in this process and returns figures and facts.
        usual: Workloads measured by default; all if none is given.
        one_core: Workloads that are measured on one core, too.
    """
    if sys.argv[1:2] == ["--measure"]:
        answer(lambda workload: workloads[workload](), sys.argv[2:])
        return
    arguments = parser(about, workloads, usual or tuple(workloads))
    arguments.set_defaults(processes=least(name))
    options = arguments.parse_args()
    command = (sys.executable, "-m", f"benchmarks.{name}", "--measure")
    sides = [Side("fedket", command, (workload,)) for workload in options.workload]
    fewer = [side for side in sides if side.workloads[0] in one_core]
    run(name, sides + [side._replace(name=ONE_CORE, cores=1) for side in fewer], options)


def parser(about: str, workloads: Iterable[str], usual: Iterable[str]) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=about.strip().splitlines()[0])
    add = parser.add_argument
    add("--workload", nargs="+", choices=list(workloads), default=list(usual), metavar="NAME",
        help=f"of {', '.join(workloads)}; by default {', '.join(usual)}")  # fmt: skip
    add("--processes", type=int, default=LEAST_PROCESSES, help="of each side, one after the other")
    add("--device", choices=("cpu", "gpu"), default="cpu", help="gpu: beside the CPU")
    add("--json", action="store_true", help="print the run as JSON")
    add("--publish", action="store_true", help="keep the run in benchmarks/results/ if nobody else "
        "computed meanwhile")  # fmt: skip
    add("--limit-s", type=float, default=900.0, help="wall limit of one process")
    return parser


def run(name: str, sides: list[Side], options: argparse.Namespace) -> None:
    """Measure, print, and publish if asked to and nobody disturbed; else exit with 1."""
    if options.publish and options.processes < least(name):
        raise SystemExit(f"a run of less than {least(name)} processes cannot be published")
    try:
        record = measure(name, sides, options)
    except LoadedError as error:
        raise SystemExit(f"not published: {error}") from None
    print(json.dumps(record) if options.json else readable(record), flush=True)
    if options.publish:
        stamp = record["machine"]["date"][:16].replace(":", "")
        path = RESULTS / f"{stamp}-{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n")


def least(name: str) -> int:
    """Processes of each side of a run that can be published."""
    return FEWER.get(name, LEAST_PROCESSES)


def measure(name: str, sides: list[Side], options: argparse.Namespace) -> dict[str, Any]:
    """Return a run.

    Raises:
        LoadedError: It is to be published, and others compute.
    """
    average, before = os.getloadavg()[0], load.others_now()
    if options.publish and not load.is_quiet(before):
        raise LoadedError(_use(before, "before the start"))
    notes = {side.name: side.missing for side in sides if side.missing}
    sides = [side for side in sides if not side.missing]
    if options.device == "gpu":
        sides, notes = with_gpu(sides, notes)
    with tempfile.TemporaryDirectory() as folder:
        limit = machine.compile_limit(Path(folder))
        if limit:
            sides = [Side("limit", (limit,), ("limit",)), *sides]
        else:
            notes["limit"] = "gcc is missing or failed, so there is no C program to compare with"
        found, most = _passes(sides, Path(folder), options)
    summaries = {key: summary(processes) for key, processes in found.items()}
    c = summaries.pop(("limit", "limit"), None)
    for (side, workload), record in summaries.items():
        if reason := differs(record, [r for (_, w), r in summaries.items() if w == workload]):
            record.clear()
            record["note"] = reason
        if "note" in record:
            notes[f"{side} {workload}"] = record["note"]
        elif c and "ms" in record:
            record["ratio_to_limit"] = spread(paired(record["ms"], c["ms"]))
    return {
        "benchmark": name,
        "machine": machine.describe(),
        "load_average_before": round(average, 2),
        "others_before_cores": before,
        "others_cores": most,
        "quiet": load.is_quiet(before) and load.is_quiet(most),
        "processes": options.processes,
        "limit": c,
        "sides": {
            side: {w: record for (s, w), record in summaries.items() if s == side}
            for side, _ in summaries
        },
        "notes": notes,
    }


def _passes(
    sides: list[Side], cache: Path, options: argparse.Namespace
) -> tuple[Found, float | None]:
    """Return what the processes of all passes found, and the most cores that others used."""
    found: Found = {}
    most: list[float | None] = []
    for _ in range(options.processes):
        for side in sides:
            for attempt in range(1, MOST_ATTEMPTS + 1):
                start = load.read()
                answers = process(side, cache / side.name, options.limit_s)
                used = load.others(start, load.read())
                told = f"{side.name} {' '.join(side.workloads)}: {_use(used, 'meanwhile')}"
                print(told, file=sys.stderr, flush=True)  # a run takes minutes
                if load.is_quiet(used) or not options.publish:
                    break
                if attempt == MOST_ATTEMPTS:
                    raise LoadedError(_use(used, f"while {side.name} was measured"))
            most.append(used)
            for workload in side.workloads:
                missing = {"note": "it did not answer"}
                found.setdefault((side.name, workload), []).append(answers.get(workload, missing))
    return found, None if None in most else max(most)  # type: ignore[type-var]


def process(side: Side, cache: Path, limit_s: float) -> dict[str, dict[str, Any]]:
    """Start one process of a side and return workload -> figures and facts, or a note.

    Args:
        side: Which.
        cache: Folder for what JAX compiles: the side's own, since a program for two cores is
            another than that for one, and JAX takes them for the same.
        limit_s: Wall time after which it is stopped.
    """
    environment = os.environ | {
        "PYTHONWARNINGS": "ignore",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(cache),  # it compiles in the first pass only
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        **side.variables,
    }
    with load.restricted(side.cores, side.taken):
        started = subprocess.Popen(
            [*side.command, *side.workloads],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            output, errors = started.communicate(timeout=limit_s)
            reason = (errors.strip().splitlines() or ["no message"])[-1]
            why = f"failed with exit code {started.returncode}: {reason}"
        except subprocess.TimeoutExpired:
            started.kill()
            output, _ = started.communicate()
            why = f"stopped after {limit_s:g} s"
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    answers = {line.pop("workload"): line for line in lines}
    return {name: answers.get(name, {"note": why}) for name in side.workloads}


def with_gpu(sides: list[Side], notes: dict[str, str]) -> tuple[list[Side], dict[str, str]]:
    """Add fedket on a GPU beside fedket on all cores, or a note that JAX finds none."""
    command = (sys.executable, "-c", "import jax; jax.devices('gpu')")
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return sides, notes | {"gpu": "JAX finds no GPU on this machine: only the CPU is measured"}
    ours = [side for side in sides if side.name == "fedket"]
    gpu = {"JAX_PLATFORMS": "cuda"}
    return [*sides, *(side._replace(name="fedket_gpu", variables=gpu) for side in ours)], notes


def readable(record: dict[str, Any]) -> str:
    """Return a run for people: medians and ranges over its processes."""
    lines = []
    if record["limit"]:
        lines.append(f"limit.c on one core   ms {shown(record['limit']['ms'])}")
    for side, workloads in record["sides"].items():
        for workload, found in workloads.items():
            figures = {n: f for n, f in found.items() if isinstance(f, dict) and "median" in f}
            parts = (f"{n} {shown(f)}" for n, f in figures.items() if n != "loss")
            lines.append(f"{side} {workload}   {'   '.join(parts)}")
    lines += [f"    {who}: {note}" for who, note in record["notes"].items()]
    if not record["quiet"]:
        most = max(record["others_before_cores"] or 0, record["others_cores"] or 0)
        lines.append(f"These figures cannot be published: {_use(most, 'meanwhile')}.")
    return "\n".join(lines)


def _use(cores: float | None, when: str) -> str:
    if cores is None:
        return "this system does not say what other processes use"
    return f"others used {cores:.2f} of {os.cpu_count()} cores {when}"
