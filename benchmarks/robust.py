"""What robust rules cost beside ByzFL's: `python -m benchmarks.robust`.

100 clients' updates of 61,706 numbers in float32, 20 of them attackers', to one. ByzFL runs
on NumPy and on PyTorch, on all cores as fedket; a side whose result is another one is told and left
out. ByzFL clips in place, so there each call gets a copy.
"""

import sys
from typing import Any

from benchmarks import run
from benchmarks.robust_cases import ATTACKERS, NU, RULES, TAU, C, L, T, size, vectors
from benchmarks.run import Side
from benchmarks.timing import answer, median_ms


def measure(name: str) -> dict[str, Any]:
    """Time one of fedket's rules in this process."""
    import numpy as np

    from fedket.secure.robust import rules

    keys: dict[str, dict[str, Any]] = {
        "trimmed_mean": {"f": ATTACKERS},
        "krum": {"f": ATTACKERS},
        "multi_krum": {"f": ATTACKERS},
        "geometric_median": {"nu": NU, "T": T},
        "centred_clipping": {"m": np.zeros(vectors().shape[1], np.float32), "L": L, "tau": TAU},
        "norm_bound": {"c": C},
    }
    updates, rule = vectors(), getattr(rules, name)
    result = rule(updates, **keys.get(name, {}))
    return {
        "ms": median_ms(lambda: rule(updates, **keys.get(name, {}))),
        "loss": size(result),
    }


def main() -> None:
    """Measure what the command line asks for, or answer as one of its processes."""
    if sys.argv[1:2] == ["--measure"]:
        answer(measure, sys.argv[2:])
        return
    options = run.parser(__doc__, RULES, RULES).parse_args()
    workloads = tuple(options.workload)
    byzfl = run.peer("byzfl_rules", "byzfl", workloads)
    sides = [
        Side("fedket", (sys.executable, "-m", "benchmarks.robust", "--measure"), workloads),
        byzfl._replace(name="byzfl_numpy", variables={"BYZFL_ARRAYS": "numpy"}),
        byzfl._replace(name="byzfl_torch", variables={"BYZFL_ARRAYS": "torch"}),
    ]
    run.run("robust", sides, options)


if __name__ == "__main__":
    main()
