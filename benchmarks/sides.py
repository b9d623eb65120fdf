"""One workload measured on all sides: fedket in this process, each peer in one of its own.

A peer that is missing, fails, computes something else or takes too long has no time but a note that
says why; no number is ever estimated.
"""

import argparse
import json
import os
import subprocess
from typing import Any, NamedTuple

from benchmarks import machine
from benchmarks.checks import TOLERANCE
from benchmarks.fedket_side import measure
from benchmarks.setup_peers import ROOT, environment, is_ready

PEERS = {  # name -> environment
    "pennylane_lightning": "pennylane",
    "pennylane_default": "pennylane",
    "torchquantum": "torchquantum",
    "torchquantum_modules": "torchquantum",
}


class Timing(NamedTuple):
    """A time, or a note that says why there is none; more facts for the record."""

    ms: float | None
    note: str | None = None
    compile_s: float | None = None
    threads: int | None = None
    versions: dict[str, str] | None = None


def compare(
    workload: str, expected_loss: float, peers: list[str], options: argparse.Namespace
) -> dict[str, Any]:
    """Measure a workload and return its record.

    Args:
        workload: `a`, `b`, `c`, `d` or `round-K`.
        expected_loss: What every peer must report; computed in this process, so that a peer whose
            numpy draws other inputs is found out.
        peers: Keys of `PEERS`.
        options: Of `parser`.
    """
    fedket = _measure_fedket(workload, options.repeats)
    timings = {name: _measure_peer(name, workload, expected_loss, options) for name in peers}
    everybody = {"fedket": fedket, **timings}
    return {
        "workload": workload,
        "fedket_ms": fedket.ms,
        "compile_s": fedket.compile_s,
        "peers": {name: timing.ms for name, timing in timings.items()},
        "notes": {name: timing.note for name, timing in everybody.items() if timing.note},
        "threads": {name: timing.threads for name, timing in timings.items() if timing.threads},
        "versions": {name: timing.versions for name, timing in timings.items() if timing.versions},
        "repeats": options.repeats,
    }


def _measure_fedket(workload: str, repeats: int) -> Timing:
    measured = measure(workload, repeats)
    return Timing(measured["ms"], compile_s=measured["compile_s"])


def _measure_peer(
    name: str, workload: str, expected_loss: float, options: argparse.Namespace
) -> Timing:
    folder = environment(PEERS[name])
    if not is_ready(PEERS[name]):
        return Timing(None, f"{folder.name} is not ready: run `python -m benchmarks.setup_peers`")
    python = folder / "bin" / "python"
    try:
        result = subprocess.run(
            [python, "-m", f"benchmarks.peers.{name}", workload, str(options.repeats)],
            cwd=ROOT,
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            timeout=options.limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Timing(None, f"stopped after {options.limit_s:g} s")
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        return Timing(None, f"failed with exit code {result.returncode}: {reason}")
    found = json.loads(result.stdout.splitlines()[-1])
    if not abs(found["loss"] - expected_loss) <= TOLERANCE:
        return Timing(None, f"its loss is {found['loss']:.8g}, not {expected_loss:.8g}")
    return Timing(found["ms"], threads=found["threads"], versions=found["versions"])


def parser(description: str, repeats: int) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object per workload")
    parser.add_argument("--save", action="store_true", help="append to benchmarks/results/")
    parser.add_argument("--repeats", type=int, default=repeats, help="timed calls, at least")
    parser.add_argument("--no-peers", action="store_true", help="measure fedket only")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="only these")
    parser.add_argument("--limit-s", type=float, default=900.0, help="wall limit of one peer")
    return parser


def publish(
    record: dict[str, Any],
    line: str,
    described: dict[str, Any],
    options: argparse.Namespace,
) -> None:
    """Print a record, as JSON or as the given line with its notes, and save it if asked to."""
    if options.json:
        print(json.dumps(record), flush=True)
    else:
        notes = (f"\n    {name}: {note}" for name, note in record["notes"].items())
        print(line + "".join(notes), flush=True)
    if options.save:
        machine.save(record, described)


def readable(ms: float | None) -> str:
    """Return a time for people."""
    return "-" if ms is None else f"{ms:.4g} ms"
