"""One workload measured on all sides: fedket in this process, each peer in one of its own.

A peer that is missing, fails, computes something else or takes too long has `None` for its time and
the reason among the notes; no number is ever estimated.
"""

import argparse
import json
import os
import subprocess
from collections.abc import Iterable
from typing import Any, NamedTuple

from benchmarks import machine
from benchmarks.setup_peers import NAMES, ROOT, environment, is_ready

PEERS = {  # name -> environment
    "pennylane_lightning": "pennylane",
    "pennylane_default": "pennylane",
    "torchquantum": "torchquantum",
}
TOLERANCE = 1e-4  # between a peer's loss and this process's reference


class Timing(NamedTuple):
    """A time, or the reason why there is none."""

    ms: float | None
    note: str | None = None
    details: dict[str, Any] = {}  # noqa: RUF012 (never written to)


def measure_fedket(workload: str, repeats: int) -> Timing:
    """Time fedket's side; `compile_s` is among the details."""
    try:
        from benchmarks.fedket_side import measure
    except ModuleNotFoundError as error:
        if error.name != "benchmarks.fedket_side":
            raise
        return Timing(None, "benchmarks/fedket_side.py is not there yet")
    measured = measure(workload, repeats)
    return Timing(measured["ms"], details=measured)


def measure_peer(
    name: str, workload: str, repeats: int, expected_loss: float, limit_s: float
) -> Timing:
    """Time a peer in its environment.

    Args:
        name: A key of `PEERS`.
        workload: `a`, `b`, `c`, `d` or `round-K`.
        repeats: The least number of timed calls.
        expected_loss: The loss that the peer must report.
        limit_s: Wall time after which it is stopped.
    """
    folder = environment(PEERS[name])
    if not is_ready(PEERS[name]):
        return Timing(None, f"{folder.name} is missing: run `python -m benchmarks.setup_peers`")
    command = [folder / "bin" / "python", "-m", f"benchmarks.peers.{name}", workload, str(repeats)]
    variables = os.environ | {"PYTHONWARNINGS": "ignore"}
    try:
        result = subprocess.run(
            command,
            cwd=ROOT,
            env=variables,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Timing(None, f"stopped after {limit_s:g} s")
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        return Timing(None, f"failed: {reason}")
    details = json.loads(result.stdout.splitlines()[-1])
    if not abs(details["loss"] - expected_loss) <= TOLERANCE:
        return Timing(None, f"its loss is {details['loss']:.8g}, not {expected_loss:.8g}")
    return Timing(details["ms"], details=details)


def arguments(description: str, repeats: int) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object per workload")
    parser.add_argument("--save", action="store_true", help="append to benchmarks/results/")
    parser.add_argument("--repeats", type=int, default=repeats, help="timed calls, at least")
    parser.add_argument("--no-peers", action="store_true", help="measure fedket only")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="only these")
    parser.add_argument("--limit-s", type=float, default=900.0, help="wall limit of one peer")
    return parser


def chosen_peers(options: argparse.Namespace) -> list[str]:
    """Return the peers to measure."""
    return [] if options.no_peers else options.peers


def report(record: dict[str, Any], line: str, options: argparse.Namespace) -> None:
    """Print a record, as JSON or as the given line with its notes, and save it if asked to."""
    if options.json:
        print(json.dumps(record), flush=True)
    else:
        print(line, flush=True)
        for name, note in record["notes"].items():
            print(f"    {name}: {note}", flush=True)
    if options.save:
        machine.save(record, machine.describe())


def notes(timings: Iterable[tuple[str, Timing]]) -> dict[str, str]:
    """Return what there is to say about some timings, by name."""
    return {name: timing.note for name, timing in timings if timing.note}


def versions(timings: Iterable[Timing]) -> dict[str, str]:
    """Return the versions of all packages that peers reported."""
    found: dict[str, str] = {}
    for timing in timings:
        found |= timing.details.get("versions", {})
    return found


assert set(PEERS.values()) == set(NAMES)
