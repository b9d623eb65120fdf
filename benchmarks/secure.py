"""What secure aggregation costs: `python -m benchmarks.secure`.

The grid n clients x d values x q bits x drop-outs, for Protocol A (pairwise pads, without and with
`confirm`), Protocol B (shared self-masks) and the peers: Flower's SecAgg+, the same with an AES
mask generator, TenSEAL's CKKS. First come named rows, two with a time to reach. Bytes count
payloads, key bits one link, CPU seconds all clients and the server together, quantising included;
see `secure_cases`. Protocol A
ends the round when a client is lost after READY, so it has no rows with drop-outs; Protocol B
loses its clients at UPLOAD, with T = n/3 colluders and U = n - 0.3 n needed to open.

By default a part of the grid that takes about three minutes; `--full` is all of it and takes an
hour or more. `--json` prints objects with the keys `workload`, `side`, `row`, `clients`, `values`,
`bits`, `dropout`, `dropped` and, where the side ran, `word_bits`, `degree` or `colluders` and
`threshold`, `up_bytes_per_client`, `down_bytes_per_client`, `pad_bits_per_link`,
`mac_bits_per_link`, `mac_bits_per_server_link`, `cpu_s`, `cpu_s_total`, `wall_s`, `rounds_timed`;
`target_s` where there is one, `versions` of a peer, and `notes`, which say why there is no time.
"""

import argparse
import json
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any, NamedTuple

from benchmarks import machine, secure_fedket
from benchmarks.secure_cases import Case, timed
from benchmarks.setup_peers import ROOT, environment, is_ready
from benchmarks.sides import publish
from fedket.secure import choose_degree

WHOLE = {
    "clients": (4, 16, 64, 200),
    "values": (72, 2_000, 61_706, 1_000_000),
    "bits": (8, 16, 32),
    "dropout": (0.0, 0.1, 0.3),
}
SHORT = {
    "clients": (4, 16, 64),
    "values": (72, 2_000, 61_706),
    "bits": (16,),
    "dropout": (0.0, 0.3),
}
"""The default: what shows how costs grow, and no more."""

SIDES = {
    "pairwise": secure_fedket.pairwise,
    "pairwise_confirmed": partial(secure_fedket.pairwise, confirm=True),
    "shared": secure_fedket.shared,
}
PEERS = {  # name -> environment
    "flower_secaggplus": "flower",
    "flower_secaggplus_aes": "flower",
    "tenseal_ckks": "tenseal",
}


class Row(NamedTuple):
    """A case for one side, and the wall time that all parties together shall take, if any."""

    side: str
    case: Case
    dropout: float
    name: str = "grid"
    target_s: float | None = None


def main() -> None:
    """Measure what the command line asks for."""
    options = _parser().parse_args()
    described = machine.describe()
    for row in _rows(options):
        record = _measure(row, options)
        publish(record, _line(record), described, options)


def _rows(options: argparse.Namespace) -> Iterator[Row]:
    peers = [] if options.no_peers else options.peers
    masking = Case(200, 61_706, 16, 0, 22)
    opening = Case(16, 61_706, 16, 0, 15)
    yield Row("pairwise", masking, 0.0, "masking for 200 clients", 1.0)
    yield Row("pairwise_confirmed", masking, 0.0, "masking for 200 clients")
    yield Row("shared", opening, 0.0, "Protocol B, 16 clients", 1.5)
    yield from (Row(peer, masking, 0.0, "masking for 200 clients") for peer in peers)
    defaults = WHOLE if options.full else SHORT
    grid = [getattr(options, axis) or defaults[axis] for axis in WHOLE]
    for clients, values, bits, dropout in product(*grid):
        dropped = int(dropout * clients)
        if dropout and not dropped:
            continue  # the same as without drop-outs
        case = Case(clients, values, bits, dropped, choose_degree("auto", clients))
        if not dropped:
            yield Row("pairwise", case, dropout)
            yield Row("pairwise_confirmed", case, dropout)
        yield Row("shared", case, dropout)
        if options.full or values == max(grid[1]):
            yield from (Row(peer, case, dropout) for peer in peers)


def _measure(row: Row, options: argparse.Namespace) -> dict[str, Any]:
    case = row.case
    record: dict[str, Any] = {
        "workload": "secure",
        "side": row.side,
        "row": row.name,
        "clients": case.clients,
        "values": case.values,
        "bits": case.bits,
        "dropout": row.dropout,
        "dropped": case.dropped,
        "wall_s": None,
        "notes": {},
    }
    if row.target_s is not None:
        record["target_s"] = row.target_s
    if row.side in PEERS:
        return record | _peer(row, options)
    gib = secure_fedket.memory_bytes(case, row.side) / 2**30
    if gib > options.memory_gib:
        note = f"takes about {gib:.1f} GiB in one process, --memory-gib is {options.memory_gib:g}"
        return record | {"notes": {row.side: note}}
    return record | timed(lambda clock: SIDES[row.side](case, clock), options.repeats)


def _peer(row: Row, options: argparse.Namespace) -> dict[str, Any]:
    """Return what a peer found out in a process of its own, or a note why it did not."""
    folder = environment(PEERS[row.side])
    if not is_ready(PEERS[row.side]):
        note = f"{folder.name} is not ready: run `python -m benchmarks.setup_peers`"
        return {"notes": {row.side: note}}
    module = f"benchmarks.peers.{row.side}"
    try:
        result = subprocess.run(
            [
                folder / "bin" / "python",
                "-m",
                module,
                json.dumps(list(row.case)),
                str(options.repeats),
            ],
            cwd=ROOT,
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            timeout=options.limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"notes": {row.side: f"stopped after {options.limit_s:g} s"}}
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        return {"notes": {row.side: reason}}
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def _line(record: dict[str, Any]) -> str:
    what = (
        f"{record['side']:21} n={record['clients']:<3} d={record['values']:<7} "
        f"q={record['bits']:<2} -{record['dropped']:<2}"
    )
    if record["wall_s"] is None:
        return f"{what} -"
    phases = "  ".join(f"{name} {seconds:.3g}" for name, seconds in record["cpu_s"].items())
    key = record.get("pad_bits_per_link")
    parts = [
        f"{what} {record['up_bytes_per_client']:>9,} B up",
        "" if key is None else f"{key:,} key bits/link",
        f"CPU {record['cpu_s_total']:.3g} s ({phases})",
        f"wall {record['wall_s']:.3g} s",
        f"[{record['row']}: under {record['target_s']:g} s]" if "target_s" in record else "",
    ]
    return "  ".join(part for part in parts if part)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Cost of secure aggregation, beside its peers.")
    parser.add_argument("--json", action="store_true", help="print one JSON object per row")
    parser.add_argument("--save", action="store_true", help="append to benchmarks/results/")
    parser.add_argument("--full", action="store_true", help="the whole grid, peers everywhere")
    parser.add_argument("--repeats", type=int, default=3, help="timed rounds after the first")
    parser.add_argument("--no-peers", action="store_true", help="measure fedket only")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="only these")
    parser.add_argument("--limit-s", type=float, default=600.0, help="wall limit of one peer's row")
    parser.add_argument("--memory-gib", type=float, default=4.0, help="skip rows that take more")
    for axis, points in WHOLE.items():
        kind = float if axis == "dropout" else int
        parser.add_argument(f"--{axis}", nargs="+", type=kind, choices=points, help=f"of {points}")
    return parser


if __name__ == "__main__":
    main()
