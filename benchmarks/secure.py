"""What secure aggregation costs: `python -m benchmarks.secure`.

A grid of n clients x d values x q bits x clients that drop out, for Protocol A (pairwise pads,
without and with `confirm`), Protocol B (shared self-masks) and the peers: Flower's SecAgg+, the
same with an AES mask generator, TenSEAL's CKKS. A workload's name says its case, see
`secure_cases`. `cpu_s` are CPU seconds of all clients and the server together, quantising included,
`wall_s` those on the clock. Facts: bytes of payloads per client, key bits per link, CPU seconds by
phase. Protocol A ends the round when a client is lost after READY, so it has no cases with
drop-outs; Protocol B loses its clients at UPLOAD, with T = n/3 colluders and U = n - 0.3 n needed
to open.

By default the few cases of README; the axes' options choose others, all of which take hours.
"""

import argparse
import sys
from itertools import product

from benchmarks import run
from benchmarks.run import Side
from benchmarks.secure_cases import Case
from fedket.secure import choose_degree

AXES = {
    "clients": (4, 16, 64, 200),
    "values": (72, 2_000, 61_706, 1_000_000),
    "bits": (8, 16, 32),
    "dropout": (0.0, 0.1, 0.3),
}
MANY, FEW = Case(200, 61_706, 16, 0, 22), Case(16, 61_706, 16, 0, 15)
USUAL = {
    "pairwise": [MANY, FEW],
    "pairwise_confirmed": [],
    "shared": [FEW],
    "flower_secaggplus": [FEW],
    "flower_secaggplus_aes": [],
    "tenseal_ckks": [FEW],
}
"""LeNet-5's 61,706 numbers. Sums of 200 clients take the peers 10 to 20 s."""

PEERS = {  # name -> environment
    "flower_secaggplus": "flower",
    "flower_secaggplus_aes": "flower",
    "tenseal_ckks": "tenseal",
}


def main() -> None:
    """Measure what the command line asks for."""
    parser = run.parser(__doc__, [], [])
    parser.add_argument("--sides", nargs="+", choices=USUAL, default=list(USUAL), help="only these")
    for axis, points in AXES.items():
        kind = float if axis == "dropout" else int
        parser.add_argument(f"--{axis}", nargs="+", type=kind, choices=points, help=f"of {points}")
    options = parser.parse_args()
    sides = [side(name, options) for name in options.sides]
    run.run("secure", [side for side in sides if side.workloads], options)


def side(name: str, options: argparse.Namespace) -> Side:
    """Return a side with its cases."""
    cases = USUAL[name]
    if any(getattr(options, axis) for axis in AXES):
        cases = [case for case in grid(options) if not case.dropped or name[:8] != "pairwise"]
    names = tuple(case.name for case in cases)
    if name in PEERS:
        return run.peer(name, PEERS[name], names)
    return Side(name, (sys.executable, "-m", "benchmarks.secure_fedket", name), names)


def grid(options: argparse.Namespace) -> list[Case]:
    """Return the cases that the axes' options span; without one an axis has its first."""
    points = [getattr(options, axis) or AXES[axis][:1] for axis in AXES]
    cases = [
        Case(clients, values, bits, int(dropout * clients), choose_degree("auto", clients))
        for clients, values, bits, dropout in product(*points)
    ]
    return list(dict.fromkeys(cases))  # few clients: none of them drops out


if __name__ == "__main__":
    main()
