"""Training steps and whole rounds beside C and the peers: `python -m benchmarks.gradient`.

Loss and gradient of `workloads` a to d, and rounds of 5 to 1,000 clients that each take 4 Adam
steps, in ms. fedket runs on all cores, on one, and on all while another process takes one: fewer or
busy cores are the system's doing, fedket is not told. `fedket_jax` is fedket without the compiled
kernels that the others use where they are installed (the fact `engine` of a workload says so).
Peers train the clients of a round one after the other, 20 at most. A side that computes another
loss than fedket, which is checked against a reference in numpy, has no time. `a-of-1000`: a round
of 1,000 clients that take one step of a; `a-of-1`: of one that takes ten, per step. `sweep`: one
command that runs a small experiment for eight seeds, on the clock.
"""

import sys
from importlib.util import find_spec
from typing import Any

from benchmarks import run
from benchmarks.run import Side
from benchmarks.workloads import GRADIENTS, ROUNDS

USUAL = ("a", "b", "a-of-1", "round-20", "round-100")
WORKLOADS = (*GRADIENTS, *ROUNDS, "sweep")
RESTRICTED = ("a", "b", "round-100", "sweep")
OURS_ONLY = ("round-100", "round-1000", "a-of-1", "a-of-1000", "sweep")
"""A client takes a peer 0.4 s."""

NOT_OF_PEER = {"torchquantum_modules": ("b", "round-20"), "pennylane_lightning": ("round-20",)}
"""In static mode b is not possible, so that `torchquantum` runs it gate by gate already; what takes
ten seconds, or says the same again."""

PEERS = {  # name -> environment
    "torchquantum": "torchquantum",
    "torchquantum_modules": "torchquantum",
    "pennylane_default": "pennylane",
    "pennylane_lightning": "pennylane",
}
FEDKET: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {  # name -> on what, and how
    "fedket": (WORKLOADS, {}),
    run.ONE_CORE: (RESTRICTED, {"cores": 1}),
    "fedket_one_taken": (RESTRICTED, {"taken": True}),
    "fedket_jax": (("a", "b", "a-of-1"), {"variables": {"FEDKET_NATIVE": "0"}}),
}


def main() -> None:
    """Measure what the command line asks for."""
    parser = run.parser(__doc__, WORKLOADS, USUAL)
    names = [*FEDKET, *PEERS]
    parser.add_argument("--sides", nargs="+", choices=names, default=names, metavar="SIDE",
        help=f"of {', '.join(names)}")  # fmt: skip
    options = parser.parse_args()
    asked = options.workload
    sides = [side for name in FEDKET for side in ours(name, asked)]
    for name, venv in PEERS.items():
        left_out = (*OURS_ONLY, *NOT_OF_PEER.get(name, ()))
        sides.append(run.peer(name, venv, [w for w in asked if w not in left_out]))
    sides = [side for side in sides if side.name in options.sides and side.workloads]
    run.run("gradient", sides, options)


def ours(name: str, asked: list[str]) -> list[Side]:
    """Return fedket's side of a name, one process for steps and one for rounds."""
    if name == "fedket_jax" and not find_spec("fedket_native"):
        return []
    command = (sys.executable, "-m", "benchmarks.fedket_side")
    workloads, how = FEDKET[name]
    mine = [workload for workload in asked if workload in workloads]
    rounds = tuple(workload for workload in mine if workload in ROUNDS)
    steps = tuple(workload for workload in mine if workload not in ROUNDS)
    return [Side(name, command, part, **how) for part in (steps, rounds)]


if __name__ == "__main__":
    main()
